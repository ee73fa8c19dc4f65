package host

import (
	"strings"
	"testing"
)

// TestConfigFolders: settings in a folder of the configuration folder, which
// Spring reads before those beside it, are named and not passed over.
func TestConfigFolders(t *testing.T) {
	t.Parallel()
	const compose = "services: {ecc: {image: rdlabengpa/ids_execution_core_container:v1, volumes: ['./conf:/config'%s]}}\n"
	for name, c := range map[string]struct {
		mounts string
		files  map[string]string
		want   string // part of the error; empty: none
	}{
		"none":                 {},
		"one without settings": {files: map[string]string{"opt/tc/conf/sd/readme.properties": "a=b"}},
		"one with settings":    {files: map[string]string{"opt/tc/conf/local/application-docker.yml": "a: b"}, want: "/opt/tc/conf/local/application-docker.yml may win"},
		"one that is mounted":  {mounts: ", './more:/config/more'", files: map[string]string{"opt/tc/more/application.properties": "a=b"}, want: "/opt/tc/more/application.properties may win"},
		"one mounted without":  {mounts: ", './more:/config/more'", files: map[string]string{"opt/tc/more/x.properties": "a=b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := with(map[string]string{
				"opt/tc/docker-compose.yml":          strings.ReplaceAll(compose, "%s", c.mounts),
				"opt/tc/conf/application.properties": "k=v",
			})
			for name, text := range c.files {
				files[name] = text
			}
			all, err := hostTree(t, files, Options{ConnectorDirs: []string{"/opt/tc"}}).ConnectorApps(t.Context())
			if err != nil || len(all) != 1 || len(all[0].Apps) != 1 {
				t.Fatalf("%+v, %v", all, err)
			}
			v, err := all[0].Apps[0].Property("k")
			switch {
			case c.want == "" && (err != nil || v.Text.Reveal() != "v"):
				t.Errorf("%v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}
