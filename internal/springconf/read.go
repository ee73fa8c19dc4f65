package springconf

import (
	"fmt"
	"path"

	"github.com/hostguard/hostguard/internal/properties"
	"github.com/hostguard/hostguard/internal/valuefile"
)

// read parses a file by its name; nil is one of another kind.
func read(f File) *layer {
	l := &layer{name: f.Name, error: f.Err, get: func(string) (properties.Property, bool) { return properties.Property{}, false }}
	var list []properties.Property
	switch path.Ext(f.Name) {
	case ".properties":
		if l.error != nil {
			return l
		}
		p, err := properties.Parse(f.Name, f.Data)
		if err != nil {
			l.error = err
			return l
		}
		l.get, list = p.Get, p.All
	case ".yml", ".yaml":
		if l.error != nil {
			return l
		}
		all, err := valuefile.YAML(f.Data)
		if err != nil {
			l.error = fmt.Errorf("cannot read %s: %w", f.Name, err)
			return l
		}
		last := map[string]properties.Property{}
		for _, v := range all {
			p := properties.Property{Key: v.Key, Value: v.Text, Line: v.Line}
			last[v.Key] = p
			list = append(list, p)
		}
		l.get = func(key string) (properties.Property, bool) {
			p, found := last[key]
			return p, found
		}
	case ".xml":
		if base := path.Base(f.Name); len(base) > 11 && base[:11] == "application" {
			l.error = fmt.Errorf("cannot read %s: properties in XML are not understood by this version of hostguard", f.Name)
			return l
		}
		return nil
	default:
		return nil
	}
	for _, p := range list {
		l.keys = append(l.keys, p.Key)
	}
	return l
}
