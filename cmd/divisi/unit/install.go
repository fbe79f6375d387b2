package unit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/whole"
)

// Plan is what is done to install the service or to remove it, step by step.
type Plan struct {
	unit  *Unit
	steps []step
}

// step is one deed of a plan.
type step struct {
	what string // for people, such as "systemctl daemon-reload"
	do   func(context.Context) error
}

// Steps returns what there is to do, for people.
func (p *Plan) Steps() []string {
	var list []string
	for _, s := range p.steps {
		list = append(list, s.what)
	}
	return list
}

// Differs is the error of installing a service in place of one that is not the same.
type Differs struct{ File, Lines string }

func (e *Differs) Error() string {
	return fmt.Sprintf("%s is there, and differs:\n%s", e.File, strings.TrimSuffix(e.Lines, "\n"))
}

// Install returns what there is to do for the service to be there and to run. A file that differs is
// replaced only if that is wanted: the error is [*Differs].
func (u *Unit) Install(replace bool) (*Plan, error) {
	p := &Plan{unit: u}
	recorded, err := u.Home.Unit()
	if err != nil {
		return nil, err
	}
	if recorded.Name != "" && recorded.User != u.User {
		return nil, fmt.Errorf("another unit runs the keeper of %s already (systemctl %s): use divisi keeper uninstall first", u.Home.Dir, recorded.Manager())
	}
	have, err := os.ReadFile(u.File)
	missing, text := errors.Is(err, fs.ErrNotExist), u.Text()
	same := err == nil && string(have) == text
	switch {
	case err != nil && !missing:
		return nil, err
	case !missing && !same && !replace:
		return nil, &Differs{u.File, difference(string(have), text)}
	case same:
		p.add("leave "+u.File+" as it is", func(context.Context) error { return nil })
	default:
		p.add("write "+u.File, func(context.Context) error { return u.write(text) })
	}

	p.add("write "+u.Home.UnitFile(), func(context.Context) error { return u.Home.SetUnit(u.record()) })
	p.systemctl("enable", Name) // reads all units again
	if missing || same {
		p.systemctl("start", Name)
	} else {
		p.systemctl("restart", Name)
	}
	return p, nil
}

func (u *Unit) record() home.Unit {
	return home.Unit{Name: Name, User: u.User, Runtime: u.Home.Runtime}
}

// ErrNone is the error of removing a service that is not there.
var ErrNone = errors.New("no unit of systemd runs the keeper")

// Uninstall returns what there is to do for the service of a home to be gone. Servers stay.
func Uninstall(h home.Home) (*Plan, error) {
	recorded, err := h.Unit()
	if err != nil {
		return nil, err
	}
	u := &Unit{Home: h, User: recorded.User || recorded.Name == "" && os.Geteuid() != 0}
	p := &Plan{unit: u}
	if u.File, err = file(u.User); err != nil {
		return nil, err
	}
	have, err := os.ReadFile(u.File)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return nil, err
	case missing && recorded.Name == "":
		return nil, ErrNone
	case !missing && !strings.Contains(string(have), u.environment()):
		return nil, fmt.Errorf("%s runs the keeper of another folder than %s: set DIVISI_HOME to that one", u.File, h.Dir)
	case !missing:
		p.systemctl("disable", "--now", Name)
		p.add("remove "+u.File, func(context.Context) error { return os.Remove(u.File) })
	}

	p.add("remove "+h.UnitFile(), func(context.Context) error { return h.ForgetUnit() })
	if !missing {
		p.systemctl("daemon-reload")
	}
	return p, nil
}

// write writes the file as a whole, so that systemd reads all of it.
func (u *Unit) write(text string) error {
	if err := os.MkdirAll(filepath.Dir(u.File), 0o755); err != nil {
		return err
	}
	return whole.Write(u.File, []byte(text), 0o644)
}

func (p *Plan) add(what string, do func(context.Context) error) {
	p.steps = append(p.steps, step{what, do})
}

// systemctl adds a step that asks systemd for something.
func (p *Plan) systemctl(args ...string) {
	what := "systemctl " + p.unit.Manager() + " " + strings.Join(args, " ")
	p.add(what, func(ctx context.Context) error {
		said, err := p.unit.record().Systemctl(ctx, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(said)))
		}
		return nil
	})
}

// Do does everything, and returns what it has done, also when a step fails.
func (p *Plan) Do(ctx context.Context) (done []string, err error) {
	for _, s := range p.steps {
		if err := s.do(ctx); err != nil {
			return done, fmt.Errorf("%s failed: %w", s.what, err)
		}
		done = append(done, s.what)
	}
	return done, nil
}
