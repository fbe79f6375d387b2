package ground

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/divisi-go/divisi/internal/namespace"
	"github.com/divisi-go/divisi/lab/device"
	"github.com/divisi-go/divisi/lab/protocol"
)

// lasting is what a host has beside its power.
type lasting struct {
	drives []drive
	clock  time.Duration // by how much it is wrong
}

// drive is a disk that a host mounts: memory, or, if it is to have faults, a device of its own.
type drive struct {
	path   string
	size   int64
	at     string // where the ground has it, for memory
	device *device.Device
}

// mount returns the drive for a host to mount.
func (d drive) mount() (*os.File, error) {
	if d.device != nil {
		return d.device.Open()
	}
	return namespace.Copy(d.at)
}

// powerCut is what happens to the drive at a power cut.
func (d drive) powerCut() {
	if d.device != nil {
		d.device.PowerCut()
	}
}

// remove takes away a drive that no host has.
func (d drive) remove() {
	if d.device != nil {
		d.device.PowerCut()
		return
	}
	_ = unix.Unmount(d.at, unix.MNT_DETACH)
}

func (l lasting) diskStatus() (list []protocol.DiskStatus) {
	for _, d := range l.drives {
		s := protocol.DiskStatus{Path: d.path, Size: d.size}
		if d.device != nil {
			condition, count := d.device.Status()
			s.Condition, s.Count = &condition, &count
		}
		list = append(list, s)
	}
	return list
}

// The bounds of disks: those of a host travel in one packet, and all are in the memory of the machine.
const (
	minSize     = 64 << 10
	defaultSize = 64 << 20
	maxDrives   = 16
)

// disk gives a host another disk, or changes how well one works that it has.
func (g *ground) disk(r protocol.Request) error {
	number, err := g.number(r.Host)
	if err != nil {
		return err
	}
	if r.Disk != nil {
		if err := r.Disk.Check(); err != nil {
			return err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.hosts[number]
	for _, d := range p.drives {
		if d.path == r.Path {
			return d.change(r)
		}
	}

	if r.Size == 0 {
		r.Size = defaultSize
	}
	switch {
	case !filepath.IsAbs(r.Path) || filepath.Clean(r.Path) != r.Path || r.Path == "/":
		return fmt.Errorf("no disk can be mounted at %q: give an absolute path such as /data", r.Path)
	case r.Size < minSize:
		return fmt.Errorf("a disk of %d bytes cannot be: give %d at least, such as 64M", r.Size, minSize)
	case len(p.drives) == maxDrives:
		return fmt.Errorf("%s has %d disks already, which is what a host may have", r.Host, maxDrives)
	}
	d, err := newDrive(r, fmt.Sprintf("/run/disk/%d/%d", number, len(p.drives)))
	if err != nil {
		return err
	}
	if err := p.insert(r, d); err != nil {
		d.remove()
		return err
	}
	p.drives = append(p.drives, d)
	return nil
}

// change changes how well a drive works that a host has.
func (d drive) change(r protocol.Request) error {
	switch {
	case r.Disk == nil:
		return fmt.Errorf("%s has a disk at %s already", r.Host, r.Path)
	case d.device == nil:
		return fmt.Errorf("the disk of %s at %s was made without faults, and has none: make another one at another path", r.Host, r.Path)
	case r.Size != 0 && r.Size != d.size:
		return fmt.Errorf("the disk of %s at %s has %d bytes already: leave its size out", r.Host, r.Path, d.size)
	}
	d.device.Change(*r.Disk)
	return nil
}

// newDrive makes a drive.
func newDrive(r protocol.Request, at string) (drive, error) {
	d := drive{path: r.Path, size: r.Size, at: at}
	if r.Disk != nil {
		made, err := device.New(r.Size)
		if err != nil {
			return d, err
		}
		made.Change(*r.Disk)
		d.device = made
		return d, nil
	}

	if err := os.MkdirAll(at, 0o755); err != nil {
		return d, err
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=755,size=%d", r.Size)); err != nil {
		return d, fmt.Errorf("cannot make a disk of %d bytes: %w", r.Size, err)
	}
	return d, nil
}

// insert has a host that has power mount a drive.
func (p *powered) insert(r protocol.Request, d drive) error {
	if p.process == nil {
		return nil
	}
	tree, err := d.mount()
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
