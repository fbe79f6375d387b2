// Package ground is the process that the hosts of a lab stand on. It makes them, joins them by a switch, and answers who
// asks the lab for something.
package ground

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/namespace"
	"github.com/divisi-go/divisi/lab/fabric"
	"github.com/divisi-go/divisi/lab/mount"
	"github.com/divisi-go/divisi/lab/protocol"
)

// ground is the process that hosts stand on: the first one of the lab's namespaces, so that nothing of the lab outlives it.
type ground struct {
	protocol.Plan
	pid      int
	network  *network
	listener *net.UnixListener

	mu    sync.Mutex // held while the power, the disks or the clock of a host change
	hosts []*powered
}

// powered is a host as the ground knows it. Without power it has no process.
type powered struct {
	process *exec.Cmd
	conn    *net.UnixConn
	ended   chan struct{} // closed when the process has ended
	lasting               // what a power cut leaves
}

// where the ground keeps what it shares with hosts.
const shelf = "/run/share"

// Serve is the life of the ground. It ends with the connection to who has started it, unless it is to stay.
func Serve(life *net.UnixConn, listener *net.UnixListener) error {
	g := &ground{listener: listener}
	if _, err := protocol.Receive(life, &g.Plan); err != nil {
		return err
	}
	if err := g.prepare(); err != nil {
		return errors.Join(err, protocol.Send(life, protocol.Answer{Error: err.Error(), Forbidden: errors.Is(err, fs.ErrPermission)}))
	}
	if err := protocol.Send(life, protocol.Answer{}); err != nil {
		return err
	}

	var pid struct{ Pid int }
	if _, err := protocol.Receive(life, &pid); err != nil {
		return err
	}
	g.pid = pid.Pid
	if err := protocol.Send(life, protocol.Answer{}); err != nil {
		return err
	}
	go g.accept()
	if !g.Stay {
		go func() {
			var nothing struct{}
			_, _ = protocol.Receive(life, &nothing)
			os.Exit(0) // whoever has started the lab is gone
		}()
	}

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT)
	<-signals
	g.down()
	return nil
}

// prepare makes the files, the switch and the hosts.
func (g *ground) prepare() error {
	if err := mount.Protect(); err != nil {
		return err
	}
	trees := make([]*os.File, len(g.Share))
	for i, path := range g.Share {
		tree, err := namespace.Copy(path)
		if err != nil {
			return err
		}
		trees[i] = tree
	}
	if err := namespace.Empty("/run", 0o755); err != nil {
		return err
	}
	for i, path := range g.Share {
		if err := namespace.Attach(trees[i], shelf+path); err != nil {
			return err
		}
	}

	g.network = newNetwork(fabric.New(len(g.Names), g.Chain, g.Seed))
	go g.network.Serve(context.Background())
	g.hosts = make([]*powered, len(g.Names))
	for number := range g.Names {
		g.hosts[number] = &powered{}
	}
	return g.bootAll()
}

// bootAll boots all hosts, side by side.
func (g *ground) bootAll() error {
	errs := make([]error, len(g.hosts))
	var wait sync.WaitGroup
	for number := range g.hosts {
		wait.Go(func() { errs[number] = g.boot(number) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// boot starts the first process of a host, which has no power.
func (g *ground) boot(number int) (err error) {
	own, child, err := protocol.Pair()
	if err != nil {
		return err
	}
	defer func() {
		_ = child.Close()
		if err != nil {
			_ = own.Close()
		}
	}()
	cmd := protocol.Again(protocol.RoleHost, child)
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true,
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", g.Names[number], err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	defer func() {
		if err != nil {
			_ = cmd.Process.Kill()
			<-ended
		}
	}()

	device, err := g.bring(number, own)
	if err != nil {
		for _, d := range g.hosts[number].drives {
			d.powerCut()
		}
		return fmt.Errorf("%s does not start: %w", g.Names[number], err)
	}
	g.network.join(number, device)
	p := &powered{process: cmd, conn: own, ended: ended, lasting: g.hosts[number].lasting}
	g.hosts[number] = p
	go g.watch(number, p)
	return nil
}

// watch takes the power of a host whose first process has ended by itself, or was killed by somebody else.
func (g *ground) watch(number int, p *powered) {
	<-p.ended
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hosts[number] == p {
		g.cut(number)
	}
}

// bring tells a new host who it is, and returns its device.
func (g *ground) bring(number int, c *net.UnixConn) (*os.File, error) {
	b := protocol.Birth{Number: number, Names: g.Names, Home: g.Home}
	var mounts []*os.File
	defer func() { protocol.CloseAll(mounts) }()
	for _, path := range g.Share {
		tree, err := namespace.Copy(shelf + path)
		if err != nil {
			return nil, err
		}
		mounts, b.Mounts = append(mounts, tree), append(b.Mounts, path)
	}
	for _, d := range g.hosts[number].drives {
		tree, err := d.mount()
		if err != nil {
			return nil, err
		}
		mounts, b.Mounts = append(mounts, tree), append(b.Mounts, d.path)
	}
	b.Clock = g.hosts[number].clock
	_ = c.SetDeadline(time.Now().Add(answerTime))
	defer func() { _ = c.SetDeadline(time.Time{}) }()
	if err := protocol.Send(c, b, mounts...); err != nil {
		return nil, err
	}

	var a protocol.Answer
	files, err := protocol.Receive(c, &a)
	switch {
	case err != nil:
		return nil, fmt.Errorf("its first process does not answer: %w", err)
	case a.Error != "":
		return nil, errors.New(a.Error)
	case len(files) != 1:
		protocol.CloseAll(files)
		return nil, errors.New("it has no device")
	}
	return files[0], nil
}

// cut takes the power of a host: all its processes end at once.
func (g *ground) cut(number int) {
	p := g.hosts[number]
	if p.process == nil {
		return
	}
	device := g.network.leave(number)
	_ = p.process.Process.Kill()
	for _, d := range p.drives {
		d.powerCut()
	}
	<-p.ended
	_ = p.conn.Close()
	_ = device.Close()
	g.hosts[number] = &powered{lasting: p.lasting}
}

// down ends all hosts. Nobody finds the lab any more.
func (g *ground) down() {
	_ = g.listener.Close()
	g.mu.Lock() // for ever: nobody boots a host any more
	for number := range g.hosts {
		g.cut(number)
	}
}

// acceptPause is how long the ground waits before it accepts clients again.
const acceptPause = 50 * time.Millisecond

// accept answers clients, each on a goroutine of its own.
func (g *ground) accept() {
	for {
		c, err := g.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(acceptPause) // there are too many files; some clients go
			continue
		}
		go g.serve(c)
	}
}

// serve answers the one request of a client.
func (g *ground) serve(c *net.UnixConn) {
	defer c.Close()
	if !protocol.IsFrom(c, 0) { // whoever has made the lab is root in here
		_ = protocol.Send(c, protocol.Answer{Error: "this lab is another user's"})
		return
	}
	var r protocol.Request
	files, err := protocol.Receive(c, &r)
	if err != nil {
		return
	}
	defer protocol.CloseAll(files)

	var a protocol.Answer
	switch r.Op {
	case protocol.OpRun, protocol.OpDial, protocol.OpListen:
		err = g.handOn(c, r, files)
		if err == nil {
			return // the host answers
		}
	case protocol.OpStatus:
		a.Status = g.status()
	case protocol.OpChange:
		err = g.change(r)
	case protocol.OpHeal:
		g.heal()
	case protocol.OpKill, protocol.OpBoot:
		err = g.power(r)
	case protocol.OpDisk:
		err = g.disk(r)
	case protocol.OpClock:
		err = g.clock(r)
	case protocol.OpDown:
		g.down()
		_ = protocol.Send(c, a)
		os.Exit(0)
	default:
		err = fmt.Errorf("this lab does not know the request %q: it was made by another version of divisi", r.Op)
	}
	if err != nil {
		a.Error = err.Error()
	}
	_ = protocol.Send(c, a) // or nobody waits for it any more
}

// number returns the number of a host by its name.
func (g *ground) number(name string) (int, error) {
	i := slices.Index(g.Names, name)
	if i < 0 {
		return 0, unknownHost(name, g.Names)
	}
	return i, nil
}

// handOn gives a request with its connection to the host that it is about.
func (g *ground) handOn(c *net.UnixConn, r protocol.Request, files []*os.File) error {
	number, err := g.number(r.Host)
	if err != nil {
		return err
	}
	g.mu.Lock()
	p := g.hosts[number]
	g.mu.Unlock()
	if p.process == nil {
		return fmt.Errorf("%s has no power: divisi lab boot %s", r.Host, r.Host)
	}

	own, err := c.File()
	if err != nil {
		return err
	}
	defer own.Close()
	if err := protocol.Send(p.conn, r, append([]*os.File{own}, files...)...); err != nil {
		return fmt.Errorf("%s does not answer: %w", r.Host, err)
	}
	return nil
}

// power takes the power of a host, or gives it.
func (g *ground) power(r protocol.Request) error {
	number, err := g.number(r.Host)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	has := g.hosts[number].process != nil
	switch {
	case r.Op == protocol.OpKill && !has:
		return fmt.Errorf("%s has no power already: divisi lab boot %s", r.Host, r.Host)
	case r.Op == protocol.OpBoot && has:
		return fmt.Errorf("%s has power already: divisi lab kill %s", r.Host, r.Host)
	case r.Op == protocol.OpKill:
		g.cut(number)
		return nil
	}
	return g.boot(number)
}

// change changes a link, or one direction of it.
func (g *ground) change(r protocol.Request) error {
	from, err := g.number(r.Host)
	if err != nil {
		return err
	}
	to, err := g.number(r.To)
	if err != nil {
		return err
	}
	if r.Change == nil {
		return errors.New("nothing is to be changed")
	}
	if err := r.Change.Check(); err != nil {
		return err
	}

	linked := false
	g.network.do(func() {
		linked = g.network.fabric.Linked(from, to)
		if !linked {
			return
		}
		g.network.fabric.Change(from, to, *r.Change)
		if !r.OneWay {
			g.network.fabric.Change(to, from, *r.Change)
		}
	})
	if linked {
		return nil
	}
	if from == to {
		return fmt.Errorf("%s has no link with itself: name two hosts", r.Host)
	}
	return fmt.Errorf("%s and %s have no link: in a chain each host has one with the next only", r.Host, r.To)
}

// heal makes all links as good as new.
func (g *ground) heal() {
	g.network.do(func() {
		for _, w := range g.network.fabric.Ways() {
			g.network.fabric.Change(w.From, w.To, fabric.Heal())
		}
	})
}

// status tells what there is.
func (g *ground) status() *protocol.Status {
	s := &protocol.Status{Pid: g.pid}
	g.mu.Lock()
	for i, p := range g.hosts {
		s.Hosts = append(s.Hosts, protocol.HostStatus{Name: g.Names[i], Address: protocol.AddressText(i), Power: p.process != nil,
			Disks: p.diskStatus(), Clock: p.clock})
	}
	g.mu.Unlock()
	var ways []fabric.Way
	g.network.do(func() { ways = g.network.fabric.Ways() })
	for _, w := range ways {
		s.Links = append(s.Links, protocol.LinkStatus{From: g.Names[w.From], To: g.Names[w.To], Quality: w.Quality, Count: w.Count})
	}
	return s
}

// unknownHost is the error for a host that there is not.
func unknownHost(host string, names []string) error {
	return fmt.Errorf("the lab has no host %q: %s", host, name.Suggest(host, names))
}
