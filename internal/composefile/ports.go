package composefile

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// A Port is a port of a service that docker publishes. Numbers may be ranges,
// and texts keep variables that are set in no file.
type Port struct {
	Address   string // of the host; empty: every one, or what the daemon is told
	Published string // the host's; empty: docker chooses one
	Target    string // in the container
	Protocol  string // empty: tcp

	Place // where it is written
}

// readPorts reads both forms: "[[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL]", and a
// mapping.
func (l *loader) readPorts(file string, n *yaml.Node) ([]Port, error) {
	list, err := l.items(n)
	if err != nil {
		return nil, err
	}
	var ports []Port
	for _, e := range list {
		var p Port
		if e.Kind == yaml.MappingNode {
			fields, err := l.mapping(e)
			if err != nil {
				return nil, err
			}
			p = Port{Address: fields["host_ip"], Published: fields["published"], Target: fields["target"], Protocol: fields["protocol"]}
		} else {
			text, err := l.text(e)
			if err != nil {
				return nil, err
			}
			p = parsePort(text)
		}
		p.Place = Place{file, e.Line}
		ports = append(ports, p)
	}
	return ports, nil
}

func parsePort(text string) Port {
	var p Port
	if i := strings.LastIndexByte(text, '/'); i >= 0 {
		text, p.Protocol = text[:i], text[i+1:]
	}
	i := strings.LastIndexByte(text, ':')
	if p.Target = text[i+1:]; i < 0 {
		return p
	}
	p.Published = text[:i]
	if strings.Contains(text, "$") {
		return p // whether an address is in it, only whoever sets the variable knows
	}
	if i = strings.LastIndexByte(p.Published, ':'); i >= 0 {
		p.Address, p.Published = strings.Trim(p.Published[:i], "[]"), p.Published[i+1:]
	}
	return p
}
