package main

// networkBreakages break what may be reached from outside. The containers are
// not those of the connector's compose project, which have limits on processors
// that docker cannot set in a test host: that they are there at all is a finding
// when others than the host itself are meant to reach them.
func networkBreakages() []breakage {
	const image = "lab/ids_execution_core_container:1"
	run := func(name, image string, publish ...string) func(testHost) {
		return func(h testHost) {
			h.Must("sh", "-c", "tar -c -C / bin/busybox | docker import - "+image)
			args := []string{"docker", "run", "--detach", "--name", name}
			for _, p := range publish {
				args = append(args, "--publish", p)
			}
			h.Must(append(args, image, "/bin/busybox", "sleep", "1000000")...)
		}
	}
	remove := func(name, image string) func(testHost) {
		return commands("docker rm --force "+name, "docker image rm "+image)
	}
	publishes, takesBack := edited(composeFile, "127.0.0.1:8090:80", "8090:80")
	return []breakage{
		{
			"the connector's /api/ is published on all addresses", run("ecc-lab", image, "8090:8449"), remove("ecc-lab", image),
			map[string]want{"NET-001": fails("tcp 0.0.0.0:8090", "ip filter DOCKER "), "SVC-011": fails("8090"), "DOCK-014": fails("container ecc-lab")},
		},
		{
			"case 28: ufw denies the port, and docker leads past it",
			func(h testHost) {
				run("ecc-lab", image, "8090:8449")(h)
				commands("ufw allow 22/tcp", "ufw deny 8090/tcp", "ufw --force enable")(h)
			},
			func(h testHost) {
				commands("ufw --force disable", "ufw --force delete deny 8090/tcp", "ufw --force delete allow 22/tcp")(h)
				remove("ecc-lab", image)(h)
			},
			map[string]want{"NET-001": fails("tcp 0.0.0.0:8090", "that leads past ip filter ufw-user-input"), "SVC-011": fails("8090"), "DOCK-014": fails("container ecc-lab")},
		},
		{
			"a data app's port is published on all addresses", run("be-lab", "lab/ids_be_data_app:1", "8183:8183"), remove("be-lab", "lab/ids_be_data_app:1"),
			map[string]want{"NET-002": fails("tcp 0.0.0.0:8183"), "SVC-011": fails("8183"), "DOCK-014": fails("container be-lab")},
		},
		{
			"a connector that does not run yet will publish its interface everywhere", publishes, takesBack,
			map[string]want{"NET-001": unknown("published at every address"), "CON-025": fails(composeFile+":11", "8090 of ecc-lab")},
		},
		{
			"partners cannot reach the connector", run("ecc-lab", image, "127.0.0.1:8090:8449", "127.0.0.1:8889:8889"), remove("ecc-lab", image),
			map[string]want{"NET-003": fails("tcp 127.0.0.1:8889"), "DOCK-014": fails("container ecc-lab")},
		},
	}
}
