//go:build unix

package child

import (
	"errors"
	"os"

	"github.com/divisi-go/divisi/internal/family"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/keeper/output"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/proc"
)

// prints is what a process prints, on its way to its log.
type prints struct {
	log    *output.Log
	node   string         // in the log
	pipes  [2]*os.File    // its standard output and standard error; nil if they are lost
	begun  [2][]byte      // what another program has read of its next lines
	output *output.Output // nil unless lines are written
}

// Log gives the process a log, in which its lines are those of a node.
func (c *Child) Log(log *output.Log, node string) { c.prints.log, c.prints.node = log, node }

// Warn adds a line to the log that is not one of its own.
func (c *Child) Warn(text string) { c.prints.log.Warn(c.prints.node, text) }

// LogLost returns how many lines could not be written.
func (c *Child) LogLost() int64 { return c.prints.log.Lost() }

// Collect begins to write what the process prints. Lines that begin with the key are entries of a log.
func (c *Child) Collect(key string) {
	p := &c.prints
	if p.pipes[0] != nil {
		p.output = output.Collect(p.log, p.node, key,
			output.Stream{File: p.pipes[0], Begun: p.begun[0]}, output.Stream{File: p.pipes[1], Begun: p.begun[1]})
	}
}

// Leave takes note that the process was reaped. The channel is closed once its log is written.
func (c *Child) Leave(written <-chan struct{}) { c.prints.log.Leave(written) }

// Reopen opens again what an earlier keeper has read of the process.
func (c *Child) Reopen() {
	stdout, err := c.foreign.Output(1)
	if err == nil {
		var stderr *os.File
		if stderr, err = c.foreign.Output(2); err != nil {
			err = errors.Join(err, stdout.Close())
		}
		c.prints.pipes = [2]*os.File{stdout, stderr}
	}
	if err != nil {
		c.prints.pipes = [2]*os.File{}
		c.Warn("what it prints is lost from now on: " + err.Error())
	}
}

// finish returns when the log is written.
func (p *prints) finish() {
	if p.output != nil {
		p.output.Finish()
	}
	p.log.Close()
}

// HandOver returns what another program of this process needs to go on with the process, whose log is
// written until then. A descriptor that is not there is -1.
func (c *Child) HandOver() (*record.HandedProcess, error) {
	h := &record.HandedProcess{Pid: c.Pid, Ticks: c.Ticks, Started: c.Started, Foreign: -1, Out: [2]int{-1, -1}, Begun: c.prints.begun}
	if c.prints.output != nil {
		h.Begun = c.prints.output.Pause()
	}
	var err error
	if c.foreign != nil {
		if h.Foreign, err = c.foreign.Descriptor(); err != nil {
			return nil, err
		}
	}
	for i, f := range c.prints.pipes {
		if f == nil {
			continue
		}
		if h.Out[i], err = fork.Descriptor(f); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// TakeOver returns a process that another program of this process has handed over.
func TakeOver(h *record.HandedProcess, mark string) *Child {
	c := &Child{Pid: h.Pid, Ticks: h.Ticks, Started: h.Started}
	c.Family = &family.Family{Pid: c.Pid, Ticks: c.Ticks, Mark: mark, Group: family.GroupOf(c.Pid, groupOf(mark))}
	if h.Foreign >= 0 {
		c.foreign = proc.Adopt(c.Pid, h.Foreign)
	}
	c.prints.begun = h.Begun
	for i, fd := range h.Out {
		if fd >= 0 {
			c.prints.pipes[i] = os.NewFile(uintptr(fd), "output")
		}
	}
	return c
}
