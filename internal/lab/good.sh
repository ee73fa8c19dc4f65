# Runs in the tree of a good host before its first boot. Its argument: the
# public key of the operator.

groupadd ssh_login_group
useradd --no-user-group --create-home --shell /bin/bash --groups ssh_login_group operator
usermod --append --groups docker operator
install -d -m 700 -o operator -g users /home/operator/.ssh
echo "$1" >/home/operator/.ssh/authorized_keys
chown operator:users /home/operator/.ssh/authorized_keys
chmod 600 /home/operator/.ssh/authorized_keys

# Who reads the connector's logs, and where.
useradd --user-group --create-home --shell /bin/bash tclogs
install -d -m 750 -o root -g tclogs /srv/tc_logs

# There before auditd loads its rules: a watch on a folder that docker makes
# later is one on a name.
install -d -m 710 /var/lib/docker
install -d -m 711 /var/lib/containerd
install -d -m 700 /var/lib/hostguard

# Debian's own list of servers cannot be reached from here.
sed -i '/^pool /d' /etc/chrony/chrony.conf

chmod 640 /opt/trueconnector/.env /etc/audit/rules.d/50-trueconnector.rules /etc/audit/rules.d/50-docker.rules /etc/audit/rules.d/40-host.rules
# The connector's secrets are this host's own. Its container's user, nobody,
# reads what is mounted.
tc=/opt/trueconnector
install -d "$tc/ecc_cert"
for name in server daps truststore; do
	secret=$(openssl rand -hex 16)
	sed -i "s/@$name@/$secret/" "$tc/ecc_resources/application.properties"
	[ $name = truststore ] && continue
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 180 -subj /CN=ecc-lab -addext subjectAltName=DNS:ecc-lab,DNS:connector.example.org \
		-addext keyUsage=digitalSignature -addext extendedKeyUsage=serverAuth,clientAuth -keyout "$tc/$name.key" -out "$tc/$name.crt" 2>/dev/null
	openssl pkcs12 -export -inkey "$tc/$name.key" -name "$name" -in "$tc/$name.crt" -out "$tc/ecc_cert/$name.p12" -passout "pass:$secret"
done
# Java passes over certificates that openssl does not mark as trusted ones in
# PKCS#12. So the trust store is JKS, sealed by its password, with the server's.
openssl x509 -in "$tc/server.crt" -outform DER -out "$tc/server.der"
size=$(stat --format=%s "$tc/server.der")
{
	printf '\376\355\376\355\0\0\0\2\0\0\0\1\0\0\0\2\0\7ecc-lab\0\0\0\0\0\0\0\0\0\5X.509\0\0'
	printf "\\$(printf %03o $((size / 256)))\\$(printf %03o $((size % 256)))"
	cat "$tc/server.der"
} >"$tc/trust"
{
	printf %s "$secret" | sed 's/./\x00&/g'
	printf 'Mighty Aphrodite'
	cat "$tc/trust"
} | openssl dgst -sha1 -binary | cat "$tc/trust" - >"$tc/ecc_cert/truststore.jks"
rm "$tc"/server.* "$tc"/daps.* "$tc/trust"
chown 65534:root "$tc"/ecc_cert/* "$tc"/ecc_resources/users.properties "$tc"/ecc_resources/application.properties
chmod 440 "$tc"/ecc_cert/* "$tc"/ecc_resources/users.properties "$tc"/ecc_resources/application.properties
echo "AES_SECRET_KEY=$(openssl rand -hex 16)" >>/etc/environment
chmod 640 /etc/environment

# As a syslog daemon leaves them.
install -m 640 -o root -g adm /dev/null /var/log/auth.log
install -m 640 -o root -g adm /dev/null /var/log/syslog

# What nobody but a person knows. Disks of virtual machines are kept for a month.
vouched="owner: The lab, note: the operator's key is made for each test machine and stays there"
vouched="$vouched, date: $(date -u -d yesterday +%F), expires: $(date -u -d '+80 days' +%F)"
cat >>/etc/hostguard/hostguard.yaml <<YAML
attestations:
  - {rule: SSH-031, $vouched}
  - {rule: SSH-032, $vouched}
  - {rule: SSH-033, $vouched}
  - {rule: SSH-034, $vouched}
YAML

systemctl --quiet enable df-watch.timer
systemctl --quiet disable nginx.service
