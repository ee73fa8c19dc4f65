package main

import (
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/lab"
)

// TestConnectorAsItRuns: what docker compose made is judged by what it was made
// with, and where that is not what is written now, it is said.
func TestConnectorAsItRuns(t *testing.T) {
	h := bootGood(t)
	h.ImportBusybox("example/ids_execution_core_container:1")
	// Without limits of processors and memory: docker cannot set them here.
	text := strings.NewReplacer("    mem_limit: 64m\n", "", "    cpus: 0.5\n", "", "    env_file", "    command: [sleep, '1000000']\n    env_file").Replace(h.ReadFile(composeFile))
	h.WriteFile(composeFile, text)
	up := func(secret string) {
		t.Helper()
		h.Must("env", "-C", "/opt/trueconnector", "AES_SECRET_KEY="+secret, "docker", "compose", "up", "--detach", "--timeout", "1")
	}
	t.Cleanup(func() { h.Run("env", "-C", "/opt/trueconnector", "docker", "compose", "down", "--timeout", "1") })
	const strong = "9hQv-2mX_dk7-Wz4s-LpT8-yRb1"
	for _, step := range []struct {
		name  string
		do    func(h *lab.Host)
		wants map[string]want // of the connector's rules: the others pass
	}{
		{"made of what is written", func(*lab.Host) { up(strong) }, nil},
		{"/etc/environment is not needed any more", func(h *lab.Host) { h.Must("mv", "/etc/environment", "/etc/environment.away") }, nil},
		{"the firewall is off in .env, and on in the container", func(h *lab.Host) {
			h.WriteFile(envFile, strings.Replace(h.ReadFile(envFile), "FIREWALL=true", "FIREWALL=false", 1))
			h.Must("chmod", "640", envFile)
		}, map[string]want{"CON-012": fails(envFile + ":2"), "CON-024": fails("FIREWALL of container", "made with another value")}},
		{"the firewall is off in the container, too", func(*lab.Host) { up(strong) }, map[string]want{"CON-012": fails("FIREWALL")}},
		{"and only there", func(h *lab.Host) {
			h.WriteFile(envFile, strings.Replace(h.ReadFile(envFile), "FIREWALL=false", "FIREWALL=true", 1))
			h.Must("chmod", "640", envFile)
		}, map[string]want{"CON-012": fails("container trueconnector-ecc-lab-1"), "CON-024": fails("FIREWALL of container")}},
		{"the container's secret is easy to guess", func(*lab.Host) { up("1234567890123456") }, map[string]want{"CON-004": fails("container trueconnector-ecc-lab-1", "easy to guess")}},
		{"made with a setting that no file gives", func(h *lab.Host) {
			h.WriteFile(composeFile, strings.Replace(text, "      - AES256", "      - APPLICATION_VALIDATEPROTOCOL=false\n      - AES256", 1))
			up(strong)
			h.WriteFile(composeFile, text)
		}, map[string]want{"CON-021": fails("container trueconnector-ecc-lab-1"), "CON-024": fails("APPLICATION_VALIDATEPROTOCOL of container", "no file gives it")}},
		{"a file changed after its start", func(h *lab.Host) { up(strong); h.Must("touch", coreProperties) }, map[string]want{"CON-024": fails(coreProperties)}},
		{"read again", func(h *lab.Host) { h.Must("docker", "restart", "--time", "1", "trueconnector-ecc-lab-1") }, nil},
	} {
		t.Run(step.name, func(t *testing.T) {
			h := h.For(t)
			step.do(h)
			report, _ := audited(t, h, "--only", "connector")
			for _, f := range report.Findings {
				if !strings.HasPrefix(f.Rule, "CON-") || f.Rule == "CON-020" || f.Rule == "CON-023" { // there is no data app
					continue
				}
				w, broken := step.wants[f.Rule]
				if !broken {
					w = want{status: checks.Pass}
				}
				said := findingText(report, f.Rule)
				if f.Status != w.status {
					t.Errorf("%s is %v, want %v: %s", f.Rule, f.Status, w.status, said)
				}
				for _, words := range w.says {
					if !strings.Contains(said, words) {
						t.Errorf("%s does not say %q: %s", f.Rule, words, said)
					}
				}
				if strings.Contains(said, strong) || strings.Contains(said, "1234567890123456") {
					t.Errorf("%s shows the secret", f.Rule)
				}
			}
		})
	}
}
