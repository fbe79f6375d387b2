package contexts

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
)

// Choice is the context of one command line: that of the flag, or else none if DIVISI_HOME is set, or else that of
// DIVISI_CONTEXT, or else the one that is used. It is a value of package pflag: the flag takes effect where it is read, also
// for a shell that completes a line.
type Choice struct {
	Name string // [None] if there is none; of a flag that has named a folder, that
	err  error  // why what is chosen without a flag cannot be read

	home, domain string // as the variables were
}

// Choose chooses without the flag.
func Choose() *Choice {
	c := &Choice{Name: None, home: os.Getenv(homeVariable), domain: os.Getenv(domainVariable)}
	s, err := open()
	if err != nil || c.home != "" {
		return c // who has no folder has no contexts
	}
	of := os.Getenv(contextVariable)
	if of == "" {
		of, c.err = s.used()
	}
	if c.err != nil || of == None {
		return c
	}
	var chosen Context
	if chosen, c.err = s.get(of); c.err == nil {
		c.Name = of
		c.enter(chosen.Home, cmp.Or(c.domain, chosen.Domain))
	}
	return c
}

// Err says why the context that is chosen without a flag cannot be read.
func (c *Choice) Err() error { return c.err }

// Set is the flag: the name of a context, or with a slash in it a state folder.
func (c *Choice) Set(of string) error {
	c.err = nil
	if strings.Contains(of, "/") {
		home, err := filepath.Abs(of)
		c.Name = home
		c.enter(home, c.domain)
		return err
	}
	if of == None {
		c.Name = None
		c.enter(c.home, c.domain)
		return nil
	}
	s, err := open()
	if err != nil {
		return err
	}
	chosen, err := s.get(of)
	if err == nil {
		c.Name = of
		c.enter(chosen.Home, chosen.Domain)
	}
	return err
}

// String returns the default of the flag, which is none.
func (c *Choice) String() string { return "" }

// Type returns what the flag takes, for people.
func (c *Choice) Type() string { return "NAME|DIR" }

// enter has the variables say what is chosen.
func (c *Choice) enter(home, domain string) {
	for variable, value := range map[string]string{homeVariable: home, domainVariable: domain} {
		if value == "" {
			_ = os.Unsetenv(variable) // it fails only for names that are none
		} else {
			_ = os.Setenv(variable, value)
		}
	}
}
