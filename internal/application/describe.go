package application

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/program"
)

// Source is what an application is made from.
type Source struct {
	Name    string // such as orderd/shop, which is in the domain /orderd/shop
	Program string // file, which stays as it is
	Config  string // as in a TOML file
	Args    []string
	Env     []string
}

// Describe returns what is to run. What the program and the configuration say is wrong is found here, before
// anything starts.
func Describe(s Source) (deployer.Spec, error) {
	base := filepath.Base(s.Program)
	components, _, err := program.Components(s.Program)
	if err != nil {
		return deployer.Spec{}, err
	}
	if len(components) == 0 {
		return deployer.Spec{}, fmt.Errorf("%s has no components: is it an application, "+
			"and was divisi generate run before it was built?", base)
	}
	if err := deployer.Linked(components); err != nil {
		return deployer.Spec{}, err
	}
	conf, err := deployer.Configure(components, "configuration of "+s.Name, s.Config)
	if err != nil {
		return deployer.Spec{}, err
	}

	conf.Args = slices.Concat(conf.Args, s.Args)
	conf.Env = slices.Concat(conf.Env, s.Env)
	return deployer.Spec{Name: s.Name, Binary: s.Program, Arg0: base, Config: conf, Components: components}, nil
}

// Listeners returns where the listeners of an application are to be, by their names.
func Listeners(spec deployer.Spec) map[string]string {
	wanted := map[string]string{}
	for _, c := range spec.Components {
		for _, name := range c.Listeners {
			wanted[name] = "localhost:0"
			if l, ok := spec.Config.Process.Listeners[name]; ok && l.Address != "" {
				wanted[name] = l.Address
			}
		}
	}
	return wanted
}

// At returns the specification with its listeners where they are, and with its version.
func At(spec deployer.Spec, addresses map[string]string) (deployer.Spec, error) {
	spec.Config.Process.Listeners = map[string]config.Listener{}
	for name, address := range addresses {
		spec.Config.Process.Listeners[name] = config.Listener{Address: address}
	}
	var err error
	spec.Version, err = spec.Digest()
	return spec, err
}
