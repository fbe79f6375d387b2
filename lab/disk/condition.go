package disk

import (
	"fmt"
	"time"
)

// Operation is what can fail on a disk.
type Operation string

// What fails. A write is everything that changes the disk, names and permissions too.
const (
	Nothing Operation = ""
	Write   Operation = "write"
	Fsync   Operation = "fsync"
	Read    Operation = "read"
	All     Operation = "all"
)

// Condition is how well a disk works. The zero value works well.
type Condition struct {
	Slow   time.Duration `json:"slow,omitempty"`   // how much longer each operation takes
	Fail   Operation     `json:"fail,omitempty"`   // what fails
	After  int64         `json:"after,omitempty"`  // how many more bytes pass before it does
	Full   bool          `json:"full,omitempty"`   // nothing that needs space has any
	Forget bool          `json:"forget,omitempty"` // a power cut takes what was not synced
}

// Change is what is to be another from now on; what is nil stays.
type Change struct {
	Slow   *time.Duration `json:"slow,omitempty"`
	Fail   *Operation     `json:"fail,omitempty"`
	After  int64          `json:"after,omitempty"` // of Fail
	Full   *bool          `json:"full,omitempty"`
	Forget *bool          `json:"forget,omitempty"`
}

// Slow is the change after which each operation takes longer.
func Slow(by time.Duration) Change { return Change{Slow: &by} }

// Fail is the change after which operations fail, once a number of bytes have passed.
func Fail(what Operation, after int64) Change { return Change{Fail: &what, After: after} }

// Full is the change after which there is no more space.
func Full() Change { return Change{Full: new(true)} }

// Forget is the change after which a power cut takes what was not synced.
func Forget() Change { return Change{Forget: new(true)} }

// Normal is the change that makes a disk work well.
func Normal() Change {
	return Change{Slow: new(time.Duration(0)), Fail: new(Nothing), Full: new(false), Forget: new(false)}
}

// maxSlow is longer than any program waits for a disk.
const maxSlow = 10 * time.Minute

// Check says what of the change cannot be.
func (c Change) Check() error {
	if c.Slow != nil && (*c.Slow < 0 || *c.Slow > maxSlow) {
		return fmt.Errorf("a disk cannot be slow by %v: give 0s to %v", *c.Slow, maxSlow)
	}
	if c.Fail != nil {
		switch *c.Fail {
		case Nothing, Write, Fsync, Read, All:
		default:
			return fmt.Errorf("no disk fails to %q: give write, fsync, read or all", *c.Fail)
		}
	}
	if c.After < 0 || c.After > 0 && (c.Fail == nil || *c.Fail == Nothing) {
		return fmt.Errorf("a disk cannot fail after %d bytes: give 0 or more, and what fails", c.After)
	}
	return nil
}

// apply returns the condition after the change.
func (c Change) apply(to Condition) Condition {
	if c.Slow != nil {
		to.Slow = *c.Slow
	}
	if c.Fail != nil {
		to.Fail, to.After = *c.Fail, c.After
	}
	if c.Full != nil {
		to.Full = *c.Full
	}
	if c.Forget != nil {
		to.Forget = *c.Forget
	}
	return to
}

// fails reports whether an operation fails, and counts its bytes if they bring a failure nearer. The operation during
// which they run out still passes.
func (c *Condition) fails(what Operation, bytes int) bool {
	isMeant := c.Fail == what || c.Fail == All
	if isMeant && c.After == 0 {
		return true
	}
	if isMeant || c.Fail == Fsync && what == Write {
		c.After -= min(c.After, int64(bytes))
	}
	return false
}

// Count is what a disk was asked for.
type Count struct {
	Reads  uint64 `json:"reads"`
	Writes uint64 `json:"writes"`
	Fsyncs uint64 `json:"fsyncs"`
	Failed uint64 `json:"failed"` // of all of these, because the disk is to fail
}

// add counts an operation.
func (c *Count) add(what Operation) {
	switch what {
	case Read:
		c.Reads++
	case Write:
		c.Writes++
	case Fsync:
		c.Fsyncs++
	}
}
