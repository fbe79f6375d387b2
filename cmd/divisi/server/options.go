package server

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/limit"
	"github.com/divisi-go/divisi/internal/keeper/lookup"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/probe"
	"github.com/divisi-go/divisi/internal/selection"
	"github.com/divisi-go/divisi/internal/server"
)

// options is what a command line says of a server.
type options struct {
	name     string
	listen   []string
	share    []string
	env      []string
	secrets  []string
	dir      string
	user     string
	ready    string
	restart  string
	stopTime time.Duration
	watchdog time.Duration
	health   keeper.Probe
	limits   []string
	roles    []string
	labels   []string
	program  []string // with its arguments
}

// plan is what is to be asked of the keeper.
type plan struct {
	spec    keeper.Spec
	sockets []keeper.Socket
	secrets map[string][]byte // by slot
	ready   probe.Probe
}

const (
	maxSecret = 1 << 20 // bytes
	maxPath   = 107     // bytes of the path of a socket
)

// plan checks what the command line says. The errors name the flag.
func (o *options) plan() (*plan, error) {
	id, err := idOf(o.name)
	if err != nil {
		return nil, err
	}
	p := &plan{spec: keeper.Spec{Domain: id.Domain, Name: id.Name, User: o.user, Ends: true, Grouped: true, Grace: o.stopTime}}
	p.spec.Policy, err = policy(o.restart)
	if err != nil {
		return nil, err
	}
	if o.stopTime <= 0 {
		return nil, console.UsageError("--stop-time %v: give a time, such as 10s", o.stopTime)
	}

	for _, set := range []func(*plan) error{o.setProgram, o.setEnv, o.setLimits, o.setReady, o.setHealth, o.setSockets, o.setSecrets} {
		if err := set(p); err != nil {
			return nil, err
		}
	}
	return p, o.setLabels(p)
}

// idOf reads NAME or NAME@/DOMAIN, where somebody has said a current domain also NAME@DOMAIN for one below that.
func idOf(text string) (keeper.ID, error) {
	current := os.Getenv("DIVISI_DOMAIN")
	bare, domain, given := strings.Cut(text, "@")
	switch {
	case !given:
		domain = cmp.Or(current, Domain)
	case current != "":
		domain = selection.Resolve(domain, current)
	}
	s, err := name.ParseServer(bare + "@" + domain)
	if err != nil {
		return keeper.ID{}, &console.Error{Code: console.Usage, Err: err}
	}
	return keeper.ID{Domain: s.Domain, Name: s.Name}, nil
}

func policy(restart string) (*lifecycle.Policy, error) {
	known := []lifecycle.Restart{lifecycle.Permanent, lifecycle.Transient, lifecycle.Temporary}
	if !slices.Contains(known, lifecycle.Restart(restart)) {
		return nil, console.UsageError("--restart %s: give permanent (after every end), transient (unless it ends with 0) or temporary (never)", restart)
	}
	return &lifecycle.Policy{Restart: lifecycle.Restart(restart)}, nil
}

// setProgram finds the program, as a shell does, and the folder that it runs in.
func (o *options) setProgram(p *plan) error {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return console.UsageError("--dir %s: there is no such folder", o.dir)
	}

	word := o.program[0]
	path, err := exec.LookPath(word)
	if err == nil || errors.Is(err, exec.ErrDot) {
		path, err = filepath.Abs(path)
	}
	info, statErr := os.Stat(word)
	byPath := strings.Contains(word, "/")
	switch {
	case err == nil:
	case byPath && errors.Is(statErr, fs.ErrNotExist):
		return console.Failure("", "there is no program %s", word)
	case byPath && statErr == nil && info.IsDir():
		return console.Failure("give a program in it", "%s is a folder, not a program", word)
	case byPath && statErr == nil:
		return console.Failure("chmod +x "+word, "%s is not executable", word)
	case statErr == nil:
		return console.Failure("if you mean the one in this folder: ./"+word, "there is no program %s in PATH", word)
	case errors.Is(err, exec.ErrNotFound):
		return console.Failure("give its path, such as ./"+word, "there is no program %s in PATH", word)
	default:
		return err
	}
	p.spec.Path, p.spec.Arg0, p.spec.Args, p.spec.Dir = path, word, o.program[1:], dir

	return nil
}

// setEnv makes the environment: what is declared, where the keeper is asked about servers, and little of the caller's.
func (o *options) setEnv(p *plan) (err error) {
	h, err := home.Find()
	if err != nil {
		return err
	}
	own := []string{lookup.Variable + "=" + h.Keeper().Door}
	for _, variable := range o.env {
		key, _, given := strings.Cut(variable, "=")
		if key == "" || strings.ContainsRune(variable, 0) {
			return console.UsageError("--env %q: write NAME=VALUE, or NAME for the value that it has here", variable)
		}
		if !given {
			value, known := os.LookupEnv(key)
			if !known {
				return console.UsageError("--env %s: there is no such variable here: write %s=VALUE", key, key)
			}
			variable += "=" + value
		}
		own = append(own, variable)
	}
	if p.spec.Env, err = server.Environment(own, o.user); err != nil {
		return console.UsageError("--user %s: %w", o.user, err)
	}

	return nil
}

// setLabels has the labels by which the server is selected, and those that this command reads again.
func (o *options) setLabels(p *plan) error {
	own := map[string]string{}
	for _, text := range o.labels {
		key, value, ok := strings.Cut(text, "=")
		if _, twice := own[key]; twice || !ok {
			return console.UsageError("--label %s: write NAME=VALUE, with each name once", text)
		}
		own[key] = value
	}
	labels, err := selection.Kept(o.roles, own)
	if err != nil {
		return &console.Error{Code: console.Usage, Err: err}
	}
	labels[server.LabelReady], labels[server.LabelProgram] = o.ready, server.Shown(&p.spec)
	p.spec.Labels = labels

	return nil
}

// setLimits reads what is limited of the process.
func (o *options) setLimits(p *plan) error {
	for _, text := range o.limits {
		l, err := limit.Parse(text)
		if err != nil {
			return console.UsageError("--limit %w", err)
		}
		if slices.ContainsFunc(p.spec.Limits, func(other limit.Limit) bool { return other.Name == l.Name }) {
			return console.UsageError("--limit %s: there are two of the name %s", text, l.Name)
		}
		p.spec.Limits = append(p.spec.Limits, l)
	}

	return nil
}

// setReady reads how one sees that the server is ready.
func (o *options) setReady(p *plan) error {
	if o.watchdog < 0 || o.watchdog > 0 && o.ready != string(probe.Notify) {
		return console.UsageError("--watchdog %v: give a time, such as 10s, and --ready notify: the program says WATCHDOG=1 at NOTIFY_SOCKET", o.watchdog)
	}
	if o.ready == "" {
		return nil
	}
	var err error
	if p.ready, err = probe.Parse(o.ready); err != nil {
		return console.UsageError("--ready: %w", err)
	}
	if o.needsListener(p.ready) {
		return console.UsageError("--ready %s: the server has no listener: add --listen, or name the host and the port", o.ready)
	}
	p.spec.Notify, p.spec.Watch = p.ready.Kind == probe.Notify, o.watchdog

	return nil
}

// needsListener reports whether a probe is about sockets that the server does not have.
func (o *options) needsListener(p probe.Probe) bool {
	text := p.String()
	needs := text == string(probe.Port) || strings.HasPrefix(text, "http:/") && !strings.HasPrefix(text, "http://")
	return needs && len(o.listen)+len(o.share) == 0
}

// setHealth reads how the keeper sees that the server is well.
func (o *options) setHealth(p *plan) error {
	h := o.health
	for _, flag := range []struct {
		name string
		set  time.Duration
	}{{"interval", h.Interval}, {"timeout", h.Timeout}, {"start-period", h.StartPeriod}} {
		switch {
		case flag.set < 0:
			return console.UsageError("--health-%s %v: give a time, such as 10s", flag.name, flag.set)
		case flag.set > 0 && h.Ask == "":
			return console.UsageError("--health-%s %v: there is no probe: add --health", flag.name, flag.set)
		}
	}
	switch {
	case h.Retries < 0 || h.Retries > 0 && h.Ask == "":
		return console.UsageError("--health-retries %d: give a number from 1 on, and --health", h.Retries)
	case h.Ask == "":
		return nil
	}

	parsed, err := probe.Parse(h.Ask)
	switch {
	case err != nil:
		return console.UsageError("--health: %w", err)
	case parsed.Kind == probe.Notify:
		return console.UsageError("--health notify: a program that says it by itself has --ready notify and --watchdog TIME")
	case parsed.Kind == probe.Log:
		return console.UsageError("--health %s: a log does not answer: write %s", h.Ask, healthForms)
	case h.Ask == string(probe.Port) && len(o.listen)+len(o.share) > 0:
		return console.UsageError("--health port: what the server inherits accepts connections whether it is well or not: write http:/PATH or exec:COMMAND")
	case o.needsListener(parsed):
		return console.UsageError("--health %s: the server has no listener: add --listen, or name the host and the port", h.Ask)
	}
	p.spec.Probe = &h

	return nil
}

// healthForms is what a probe of the keeper may look like, for people.
const healthForms = "http:/PATH, http://HOST:PORT/PATH, port:PORT, port:HOST:PORT, file:PATH or exec:COMMAND"

// setSockets reads what the server inherits. The key of a socket has the name of the server, because others in its domain
// may call theirs the same; that of one that they share has none.
func (o *options) setSockets(p *plan) error {
	for _, text := range o.listen {
		if err := o.setSocket(p, "--listen", text, p.spec.Name); err != nil {
			return err
		}
	}
	for _, text := range o.share {
		if err := o.setSocket(p, "--share", text, ""); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) setSocket(p *plan, flag, text, owner string) error {
	as, address, ok := strings.Cut(text, "=")
	if !ok {
		as, address = o.bareName(), text
	}
	if err := name.CheckLabel(as); err != nil {
		return console.UsageError("%s %s: %w: write NAME=HOST:PORT", flag, text, err)
	}
	s := keeper.Socket{Domain: p.spec.Domain, Key: owner + "/" + as, Network: "tcp", Address: address}
	path, isPath := strings.CutPrefix(address, "unix:")
	if isPath || strings.HasPrefix(address, "/") {
		s.Network = "unix"
		var err error
		if s.Address, err = filepath.Abs(path); err != nil {
			return err
		}
		if len(s.Address) > maxPath {
			return console.UsageError("%s %s: the path %s has %d bytes, and that of a socket at most %d: use a shorter one",
				flag, text, s.Address, len(s.Address), maxPath)
		}
	} else if _, port, err := net.SplitHostPort(address); err != nil || !isPort(port) {
		return console.UsageError("%s %s: %q is no address: write NAME=HOST:PORT, such as http=localhost:8080, or NAME=unix:PATH", flag, text, address)
	}
	if slices.ContainsFunc(p.spec.Sockets, func(other keeper.Inherit) bool { return other.As == as }) {
		return console.UsageError("%s %s: there are two of the name %s: write NAME=HOST:PORT with another name", flag, text, as)
	}

	p.sockets = append(p.sockets, s)
	p.spec.Sockets = append(p.spec.Sockets, keeper.Inherit{Key: s.Key, As: as})
	return nil
}

func (o *options) bareName() string {
	bare, _, _ := strings.Cut(o.name, "@")
	return bare
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// setSecrets reads the files of secrets.
func (o *options) setSecrets(p *plan) error {
	p.secrets = map[string][]byte{}
	for _, secret := range o.secrets {
		as, path, ok := strings.Cut(secret, "=")
		if !ok || as == "" || path == "" {
			return console.UsageError("--secret %s: write NAME=FILE; the variable NAME has the number of the descriptor to read", secret)
		}
		info, err := os.Stat(path)
		if err == nil && info.Size() > maxSecret {
			err = fmt.Errorf("%s has %d bytes: a secret has at most %d", path, info.Size(), maxSecret)
		}
		var data []byte
		if err == nil {
			data, err = os.ReadFile(path)
		}
		if err != nil {
			return console.UsageError("--secret %s: %w", as, err)
		}

		slot := p.spec.Name + "/" + as
		if _, twice := p.secrets[slot]; twice {
			return console.UsageError("--secret %s: there are two of this name", as)
		}
		p.secrets[slot] = data
		p.spec.Secrets = append(p.spec.Secrets, keeper.Inherit{Key: slot, As: as})
	}

	return nil
}

// probeOf returns how one sees that a server is ready that was started earlier.
func probeOf(labels map[string]string) (probe.Probe, error) {
	text := cmp.Or(labels[server.LabelReady], "")
	if text == "" {
		return probe.Probe{}, nil
	}
	return probe.Parse(text)
}
