package config

import (
	"fmt"
	"path"

	"github.com/hostguard/hostguard/internal/lazyregexp"
)

// Docker says who may use docker, and what runs on it besides the connector.
type Docker struct {
	Users      []Account    `yaml:"users" doc:"The members of the group docker: they are as good as root."`
	Containers []DockerName `yaml:"containers" doc:"Containers that belong here besides the connector's: names or patterns, such as node-exporter."`
	Images     []DockerName `yaml:"images" doc:"The images that the connector may run: names with tag or digest, or patterns, such as rdlabengpa/*:v1.14.8."`
}

// DockerName is the name of a container or an image, or a pattern for it.
type DockerName string

var dockerName = lazyregexp.New(`^[a-zA-Z0-9_./:@*?\[\]!-]+$`)

// UnmarshalText reads a name or pattern.
func (d *DockerName) UnmarshalText(text []byte) error {
	if len(text) > maxName || !dockerName().Match(text) {
		return fmt.Errorf("%q is not the name of a container or an image", text)
	}
	if _, err := path.Match(string(text), ""); err != nil {
		return fmt.Errorf("%q is not a pattern: %w", text, err)
	}
	*d = DockerName(text)
	return nil
}
