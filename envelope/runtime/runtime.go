// Package runtime has what deployers need to know of applications: the name of the main component,
// and the configuration file.
package runtime

import (
	"fmt"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/config"
)

// Main is the name of the main component in the envelope protocol, which is that of Service
// Weaver. Weavelets know their main component by it.
const Main = "github.com/ServiceWeaver/weaver/Main"

// ParseConfig parses a configuration file, whose name is used in errors. Sections of components
// are passed to sectionValidator, unless it is nil; an error of it is that of the file.
func ParseConfig(file string, input string, sectionValidator func(key, val string) error) (*protos.AppConfig, error) {
	app, err := config.Parse(file, input, config.Options{})
	if err != nil {
		return nil, err
	}
	c := &protos.AppConfig{
		Name:         app.Name,
		Binary:       app.Binary,
		Args:         app.Args,
		Env:          app.Env,
		RolloutNanos: app.Rollout.Nanoseconds(),
		Sections:     map[string]string{},
	}
	for _, g := range app.Groups {
		c.Colocate = append(c.Colocate, &protos.ComponentGroup{Components: g.Components})
	}
	for key, section := range app.Sections {
		c.Sections[key] = string(section)
		if sectionValidator == nil {
			continue
		}
		if err := sectionValidator(key, string(section)); err != nil {
			return nil, fmt.Errorf("section %q: %w", key, err)
		}
	}
	return c, nil
}
