package ground

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/divisi-go/divisi/lab/mount"
	"github.com/divisi-go/divisi/lab/protocol"
)

// lasting is what a host has beside its power.
type lasting struct {
	disks []disk
	clock time.Duration // by how much it is wrong
}

// disk is memory that a host mounts. A power cut leaves it as it is.
type disk struct {
	protocol.DiskStatus
	at string // where the ground has it
}

func (l lasting) diskStatus() (list []protocol.DiskStatus) {
	for _, d := range l.disks {
		list = append(list, d.DiskStatus)
	}
	return list
}

// The bounds of disks: those of a host travel in one packet, and all are in the memory of the machine.
const (
	minSize  = 64 << 10
	maxDisks = 16
)

// disk gives a host another disk.
func (g *ground) disk(r protocol.Request) error {
	number, err := g.number(r.Host)
	if err != nil {
		return err
	}
	switch {
	case !filepath.IsAbs(r.Path) || filepath.Clean(r.Path) != r.Path || r.Path == "/":
		return fmt.Errorf("no disk can be mounted at %q: give an absolute path such as /data", r.Path)
	case r.Size < minSize:
		return fmt.Errorf("a disk of %d bytes cannot be: give %d at least, such as 64M", r.Size, minSize)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.hosts[number]
	for _, other := range p.disks {
		if other.Path == r.Path {
			return fmt.Errorf("%s has a disk at %s already", r.Host, r.Path)
		}
	}
	if len(p.disks) == maxDisks {
		return fmt.Errorf("%s has %d disks already, which is what a host may have", r.Host, maxDisks)
	}

	d := disk{protocol.DiskStatus{Path: r.Path, Size: r.Size}, fmt.Sprintf("/run/disk/%d/%d", number, len(p.disks))}
	if err := os.MkdirAll(d.at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", d.at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=755,size=%d", d.Size)); err != nil {
		return fmt.Errorf("cannot make a disk of %d bytes: %w", d.Size, err)
	}
	if err := g.insert(p, r, d); err != nil {
		return errors.Join(err, unix.Unmount(d.at, unix.MNT_DETACH))
	}
	p.disks = append(p.disks, d)
	return nil
}

// insert has a host that has power mount a disk.
func (g *ground) insert(p *powered, r protocol.Request, d disk) error {
	if p.process == nil {
		return nil
	}
	tree, err := mount.Copy(d.at)
	if err != nil {
		return err
	}
	defer tree.Close()
	return p.ask(r, tree)
}

// clock sets the clock of a host.
func (g *ground) clock(r protocol.Request) error {
	number, err := g.number(r.Host)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.hosts[number]
	if p.process != nil {
		if err := p.ask(r); err != nil {
			return err
		}
	}
	p.clock = r.Offset
	return nil
}

// answerTime is how long the first process of a host has for an answer. Nothing it is asked for takes as long, so one
// that is late was stopped.
const answerTime = 20 * time.Second

// ask has the first process of a host do something, and waits until it has.
func (p *powered) ask(r protocol.Request, files ...*os.File) error {
	own, theirs, err := protocol.Pair()
	if err != nil {
		return err
	}
	defer own.Close()
	_ = own.SetDeadline(time.Now().Add(answerTime))
	err = protocol.Send(p.conn, r, append([]*os.File{theirs}, files...)...)
	_ = theirs.Close()
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", r.Host, err)
	}

	var a protocol.Answer
	if _, err := protocol.Receive(own, &a); err != nil {
		return fmt.Errorf("%s does not answer: %w", r.Host, err)
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}
