// Package screen writes to terminals, pipes and files for a process that must not wait for them.
package screen

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	maxLines  = 1024        // that wait for a terminal or a pipe
	lastLines = time.Second // how long the end waits for those that do
)

// Screen writes for somebody who must not wait for a terminal that is stopped, a full pipe or a slow
// disk. What does not fit into its queue is dropped and counted.
type Screen struct {
	lines   chan line
	dropped atomic.Int64
	ending  chan struct{}
	ended   chan struct{}
}

// line is a text on its way.
type line struct {
	to   io.Writer
	text string
}

// New returns a screen that says on errors how much it has dropped.
func New(errors io.Writer) *Screen {
	s := &Screen{lines: make(chan line, maxLines), ending: make(chan struct{}), ended: make(chan struct{})}
	go s.write(errors)
	return s
}

// write writes what comes until the end, and what is in the queue then.
func (s *Screen) write(errors io.Writer) {
	defer close(s.ended)
	for over := false; ; {
		var l line
		if over {
			select {
			case l = <-s.lines:
			default:
				return
			}
		} else {
			select {
			case l = <-s.lines:
			case <-s.ending:
				over = true
				continue
			}
		}

		if n := s.dropped.Swap(0); n > 0 {
			fmt.Fprintf(errors, "divisi: warning: %d lines are not shown: they came faster than they could be\n", n)
		}
		_, _ = io.WriteString(l.to, l.text) // a reader who has gone misses nothing
	}
}

// Wait writes a text, and waits until there is room for it in the queue, but not beyond the end.
func (s *Screen) Wait(to io.Writer, text string) {
	select {
	case s.lines <- line{to, text}:
	case <-s.ending:
	}
}

// End waits until everything is written, but not for long.
func (s *Screen) End() {
	close(s.ending)
	select {
	case <-s.ended:
	case <-time.After(lastLines):
	}
}

// Through returns a writer whose Write never waits.
func (s *Screen) Through(w io.Writer) io.Writer { return writer{s, w} }

type writer struct {
	screen *Screen
	to     io.Writer
}

func (w writer) Write(p []byte) (int, error) {
	select {
	case w.screen.lines <- line{w.to, string(p)}:
	default:
		w.screen.dropped.Add(1)
	}

	return len(p), nil
}
