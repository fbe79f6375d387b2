// Package runtime has what deployers need to know of applications: the name of the main component,
// and the configuration file.
package runtime

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/message"
	"github.com/divisi-go/divisi/internal/name"
)

// Main is the name of the main component in the envelope protocol, which is that of Service
// Weaver. Weavelets know their main component by it.
const Main = string(name.OldMain)

// ParseConfig parses a configuration file, whose name is used in errors. Sections of components
// are passed to sectionValidator in the order of their names, unless it is nil; its errors are those
// of the file.
func ParseConfig(file string, input string, sectionValidator func(key, val string) error) (*message.AppConfig, error) {
	app, err := config.Parse(file, input, config.Options{})
	if err != nil {
		return nil, err
	}
	c := &message.AppConfig{
		Name:         app.Name,
		Binary:       app.Binary,
		Args:         app.Args,
		Env:          app.Env,
		RolloutNanos: app.Rollout.Nanoseconds(),
		Sections:     map[string]string{},
	}
	for _, g := range app.Groups {
		c.Colocate = append(c.Colocate, &message.ComponentGroup{Components: g.Components})
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(app.Sections)) {
		c.Sections[key] = string(app.Sections[key])
		if sectionValidator == nil {
			continue
		}
		if err := sectionValidator(key, c.Sections[key]); err != nil {
			errs = append(errs, fmt.Errorf("section %q: %w", key, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}
