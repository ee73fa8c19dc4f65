# Tells the log, and whoever reads it, of file systems above 80 %.
df --local --output=pcent,target | awk 'NR > 1 && $1 + 0 > 80 { print "nearly full:", $2 }' |
	logger --tag df-watch --priority daemon.warning
