package deployer

import (
	"cmp"
	"context"
	"fmt"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer/mtls"
	"github.com/divisi-go/divisi/internal/place"
)

// version is a version whose replicas can start: what may take long, or fail, has been done.
type version struct {
	spec      Spec
	plan      place.Plan
	authority *mtls.Authority // nil without mutual TLS
}

// prepare opens the listeners of a version that are not open yet, and finds its keys. It runs aside.
func (d *Deployer) prepare(spec Spec) (version, error) {
	plan, err := makePlan(spec)
	if err != nil {
		return version{}, err
	}
	if err := d.listen(spec); err != nil {
		return version{}, err
	}
	if next := d.options.Succession; next != nil {
		d.forgetting.Wait() // it may have the same name
		if err := next.Save(spec); err != nil {
			return version{}, fmt.Errorf("cannot keep what the version is, for later: %w", err)
		}
	}

	authority, err := d.authority(spec, plan)
	if err != nil {
		return version{}, err
	}

	return version{spec: spec, plan: plan, authority: authority}, nil
}

// listen opens the listeners of a version. An open listener keeps its address: its socket is that
// of the replicas that run.
func (d *Deployer) listen(spec Spec) error {
	for _, c := range spec.Components {
		for _, name := range c.Listeners {
			wanted := cmp.Or(spec.Config.Process.Listeners[name].Address, "localhost:0")
			if err := d.listenAt(name, wanted); err != nil {
				return err
			}
		}
	}

	return nil
}

func (d *Deployer) listenAt(name, wanted string) error {
	var before string
	var open bool
	if err := d.do(d.ctx, func() { before, open = d.wanted[name] }); err != nil {
		return err
	}
	switch {
	case open && before == wanted:
		return nil
	case open:
		return fmt.Errorf("the listener %s is open at %s, and is to be at %s: an upgrade keeps the "+
			"addresses (stop the application and run it again, or write listeners.%s = { address = %q } in [process])",
			name, before, wanted, name, before)
	}

	actual, err := d.launcher.Listen(name, wanted)
	if err != nil {
		return fmt.Errorf("cannot open the listener %s at %s: %w (set another address: "+
			"listeners.%s = { address = \"...\" } in [process])", name, wanted, err, name)
	}

	return d.do(context.Background(), func() {
		d.wanted[name] = wanted
		d.listeners = append(d.listeners, control.ListenerStatus{
			Name: name, Address: actual, URL: control.PageURL(actual),
		})
	})
}
