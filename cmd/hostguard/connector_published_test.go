package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/reports"
)

// TestPublishedCertificates: of TRUE Connector as it is published, in the folder that
// HOSTGUARD_CONNECTOR_TREE names, the certificate rules find what it is known for and
// nothing else, and each is content when just that is mended.
func TestPublishedCertificates(t *testing.T) {
	t.Parallel()
	tree := os.Getenv("HOSTGUARD_CONNECTOR_TREE")
	if tree == "" {
		t.Skip("HOSTGUARD_CONNECTOR_TREE names no published tree")
	}
	const (
		own = "changeit key execution-core-container names=ecc-provider,ecc-consumer,be-dataapp-provider,be-dataapp-consumer,uc-dataapp-provider,uc-dataapp-consumer,localhost "
		// What is wrong with the published trust store, whatever the key.
		trusted = " CRT-012:referencetestbedca,connectora,connectorb,omejdn,execution-core-container CRT-013:daps.aisec,brokerreverseproxy"
	)
	for name, c := range map[string]struct {
		key, trust string // stores in the place of the published ones; empty: as published
		want       string // RULE:words of its evidence for each that fails
	}{
		"as published":                          {"", "", "CRT-002:2026-07-08 CRT-003:2026-07-08 CRT-004:2048 CRT-007:ssl-server.jks CRT-009:1461" + trusted},
		"a new key, which nobody trusts yet":    {own, "", "CRT-011:CN=execution-core-container" + trusted},
		"and the trust store follows":           {own, "allpassword trust ssl-server.jks", ""},
		"valid, strong enough or not":           {own + "kind=rsa2048", "allpassword trust ssl-server.jks", "CRT-004:2048"},
		"strong, and expired":                   {own + "days=-1", "allpassword trust ssl-server.jks", "CRT-002:expired CRT-003:expired CRT-013:trusted0"},
		"strong, and for years":                 {own + "days=800", "allpassword trust ssl-server.jks", "CRT-009:810"},
		"its issuer is missing":                 {own + "issuer=nobody", "allpassword trust ssl-server.jks", "CRT-015:CN=nobody,truststoreEcc.jks"},
		"the trust store is as it was, but one": {own, "allpassword trust ssl-server.jks cert referencetestbedca kind=testbed", "CRT-012:referencetestbedca"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			dir := filepath.Join(root, "opt/trueconnector")
			if err := os.CopyFS(dir, os.DirFS(tree)); err != nil {
				t.Fatal(err)
			}
			maker := storeMaker{}
			for _, store := range [][2]string{{"ssl-server.jks", c.key}, {"truststoreEcc.jks", c.trust}} {
				if store[1] == "" {
					continue
				}
				data, err := maker.store(store[0], strings.Fields(store[1]))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, "ecc_cert", store[0]), data, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			var stdout bytes.Buffer
			cmd := exec.Command("hostguard", "check", "--root", root, "--connector", "/opt/trueconnector", "--only", "certificates", "--format", "json")
			cmd.Stdout = &stdout
			_ = cmd.Run() // it says that rules fail
			var report reports.Report
			if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
				t.Fatalf("%v: %s", err, stdout.Bytes())
			}
			wants := map[string]string{}
			for word := range strings.FieldsSeq(c.want) {
				rule, words, _ := strings.Cut(word, ":")
				wants[rule] = words
			}
			looked := 0
			for _, f := range report.Findings {
				said := findingText(&report, f.Rule)
				words, broken := wants[f.Rule]
				switch {
				case f.Status == checks.Skipped:
					continue
				case f.Status == checks.Error || (f.Status == checks.Fail) != broken:
					t.Errorf("%s: %v: %s", f.Rule, f.Status, said)
				}
				for word := range strings.SplitSeq(words, ",") {
					if !strings.Contains(said, word) {
						t.Errorf("%s does not say %s: %s", f.Rule, word, said)
					}
				}
				looked++
			}
			if looked < 15 {
				t.Errorf("only %d rules were looked at", looked)
			}
		})
	}
}
