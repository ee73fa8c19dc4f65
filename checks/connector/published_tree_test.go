package connector

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

// TestPublishedTree: TRUE Connector as it is published, in the folder that
// HOSTGUARD_CONNECTOR_TREE names, has all the faults that it is known for, and
// none besides.
func TestPublishedTree(t *testing.T) {
	t.Parallel()
	tree := os.Getenv("HOSTGUARD_CONNECTOR_TREE")
	if tree == "" {
		t.Skip("HOSTGUARD_CONNECTOR_TREE names no published tree")
	}
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "opt/trueconnector"), os.DirFS(tree)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "etc/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	h := host.New(host.Options{Root: root, ConnectorDirs: []string{"/opt/trueconnector"}})
	const (
		core  = "ecc_resources_provider/"
		other = "ecc_resources_consumer/"
		app   = "be-dataapp_resources/"
	)
	for check, want := range map[string]string{
		"published": "fail .env:10 .env:11 .env:16 " + app + "config.properties:2 " + app + "users.properties:6 " + app + "users.properties:8 " +
			other + "application-docker.properties:194 " + other + "users.properties:6 " + other + "users.properties:8 " +
			core + "application-docker.properties:191 " + core + "users.properties:6 " + core + "users.properties:8 " +
			"uc-dataapp_resources_consumer/application.properties:39 uc-dataapp_resources_provider/application.properties:39",
		"users": "fail " + app + "users.properties:6 " + app + "users.properties:8 " + other + "users.properties:6 " + other + "users.properties:8 " +
			core + "users.properties:6 " + core + "users.properties:8",
		"names":         "fail " + app + "users.properties:2 " + other + "users.properties:2 " + core + "users.properties:2",
		"secret":        "error",
		"daps":          "fail " + other + "application-docker.properties:43 " + core + "application-docker.properties:43",
		"firewall":      "pass",
		"firewall file": "fail " + app + "firewall.properties:14 " + other + "firewall.properties:14 " + other + "firewall.properties:6 " + core + "firewall.properties:14 " + core + "firewall.properties:6",
		"title":         "fail " + core + "application-docker.properties:171",
	} {
		v, err := probes[check](t.Context(), h)
		places := []string{}
		for _, e := range v.Evidence {
			if place := fmt.Sprintf("%s:%d", strings.TrimPrefix(e.Source, "/opt/trueconnector/"), e.Line); v.Status == checks.Fail && !slices.Contains(places, place) {
				places = append(places, place)
			}
		}
		slices.Sort(places)
		got := strings.TrimSpace(v.Status.String() + " " + strings.Join(places, " "))
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %s\nwant %s", check, got, want)
		}
	}
}
