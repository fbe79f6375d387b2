// Package envelope is for writers of deployers: it starts weavelets and converses with them. Its
// types are those of Service Weaver v0.20.
package envelope

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/divisi-go/divisi/envelope/metrics"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/logline"
	"github.com/divisi-go/divisi/internal/pipe"
)

// Envelope is a deployer's end of the conversation with one weavelet.
type Envelope struct {
	ctx          context.Context
	conversation *pipe.Envelope
	info         *protos.WeaveletInfo
	dialled      bool      // the weavelet dials, and may outlive the conversation
	pid          int       // of a weavelet that has dialled, as the kernel knows it
	cmd          *exec.Cmd // nil if somebody else holds the process
	exited       chan struct{}
	exit         error         // of the process, once exited is closed
	printed      chan struct{} // closed when all that the process printed is read
	ended        chan struct{} // closed when Serve has read the conversation to its end
	endTime      time.Duration

	// measuring has an element while metrics are asked for, one request after the other: answers may
	// leave out what has not changed.
	measuring chan struct{}
	measured  metrics.Importer

	mu     sync.Mutex // guards lines, lost and heard
	lines  []*protos.LogEntry
	lost   int           // lines that were dropped before those in lines
	heard  int           // all lines
	logged chan struct{} // has an element when lines grew
}

// Times that end what has no answer.
const (
	handshakeTime = 30 * time.Second
	healthTime    = 5 * time.Second
	lastWords     = 200 * time.Millisecond // for what a process said just before its end
	endTime       = 10 * time.Second       // for a process to end after the conversation
)

// NewEnvelope starts the binary of an application as a weavelet, with the environment of this
// process and that of the configuration. When ctx ends, so does the process.
func NewEnvelope(ctx context.Context, info *protos.EnvelopeInfo, config *protos.AppConfig) (*Envelope, error) {
	weaveletIn, toWeavelet, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	fromWeavelet, weaveletOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, weaveletIn.Close(), toWeavelet.Close())
	}

	cmd := exec.CommandContext(ctx, config.Binary, config.Args...)
	cmd.Env = inherit.Environment(append(os.Environ(), config.Env...), nil,
		[]string{inherit.ToWeavelet, inherit.ToEnvelope})
	cmd.ExtraFiles = []*os.File{weaveletIn, weaveletOut}

	// These are not pipes of the package exec, whose Wait would wait for children of the process that
	// hold them.
	stdout, outWriter, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, closeAll(weaveletIn, toWeavelet, fromWeavelet, weaveletOut))
	}
	stderr, errWriter, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err,
			closeAll(weaveletIn, toWeavelet, fromWeavelet, weaveletOut, stdout, outWriter))
	}

	cmd.Stdout, cmd.Stderr = outWriter, errWriter
	err = cmd.Start()
	closeAll(outWriter, errWriter)
	weaveletIn.Close()
	weaveletOut.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start %s: %w", config.Binary, err),
			closeAll(toWeavelet, fromWeavelet, stdout, stderr))
	}

	e := newEnvelope(ctx)
	e.cmd = cmd
	e.exited, e.printed, e.ended = make(chan struct{}), make(chan struct{}), make(chan struct{})
	e.watch(stdout, stderr, info)
	if err := e.attach(fromWeavelet, toWeavelet, info); err != nil {
		cmd.Process.Kill()
		<-e.exited
		<-e.printed
		return nil, errors.Join(err, e.lastLines())
	}
	go e.closeAfterExit()
	return e, nil
}

// watch reads what the process prints, and waits for its end.
func (e *Envelope) watch(stdout, stderr *os.File, info *protos.EnvelopeInfo) {
	var output sync.WaitGroup
	output.Go(func() { e.collect(stdout, "stdout", info) })
	output.Go(func() { e.collect(stderr, "stderr", info) })
	go func() { output.Wait(); close(e.printed) }()
	go func() {
		e.exit = e.cmd.Wait()
		close(e.exited)
		e.hear()
		closeAll(stdout, stderr)
	}()
}

// closeAfterExit ends the conversation once the process has ended and what it said is read.
func (e *Envelope) closeAfterExit() {
	<-e.exited
	select {
	case <-e.ended:
	case <-time.After(lastWords):
	}
	e.conversation.Close()
}

func newEnvelope(ctx context.Context) *Envelope {
	return &Envelope{
		ctx: ctx, endTime: endTime, logged: make(chan struct{}, 1), measuring: make(chan struct{}, 1),
	}
}

func closeAll(files ...*os.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Attach returns an envelope for a weavelet that somebody else has started, and whose death
// somebody else notices and tells by closing the envelope.
func Attach(ctx context.Context, r io.ReadCloser, w io.WriteCloser, info *protos.EnvelopeInfo) (*Envelope, error) {
	e := newEnvelope(ctx)
	if err := e.attach(r, w, info); err != nil {
		return nil, err
	}
	return e, nil
}

// attach does the handshake.
func (e *Envelope) attach(r io.ReadCloser, w io.WriteCloser, info *protos.EnvelopeInfo) error {
	type result struct {
		conversation *pipe.Envelope
		info         *protos.WeaveletInfo
		err          error
	}
	done := make(chan result, 1)
	go func() {
		conversation, reply, err := pipe.NewEnvelope(r, w, info)
		done <- result{conversation, reply, err}
	}()

	timeout := time.NewTimer(handshakeTime)
	defer timeout.Stop()
	var got result
	select {
	case got = <-done:
	case <-e.exited:
		select { // it may have answered before its end
		case got = <-done:
		case <-time.After(lastWords):
			got.err = e.endedEarly()
		}
	case <-timeout.C:
		got.err = fmt.Errorf("the weavelet has not answered within %v: is the binary an application?",
			handshakeTime)
	case <-e.ctx.Done():
		got.err = context.Cause(e.ctx)
	}

	err := got.err
	if e.exited != nil && (errors.Is(err, pipe.ErrClosed) || errors.Is(err, io.EOF)) {
		// The pipe of a process that has just ended says less than its end does.
		select {
		case <-e.exited:
			err = e.endedEarly()
		case <-time.After(time.Second):
		}
	}
	if err != nil {
		return errors.Join(err, w.Close(), r.Close())
	}

	e.conversation, e.info = got.conversation, got.info
	if v := e.info.Version; v == nil || v.Major != 0 || v.Minor < 20 || v.Minor > 21 {
		said := "no version"
		if v != nil {
			said = fmt.Sprintf("version %d.%d", v.Major, v.Minor)
		}
		return errors.Join(fmt.Errorf("the weavelet speaks %s of the protocol, not 0.20", said),
			e.conversation.Close())
	}
	return nil
}

// endedEarly is the error of a process that has ended instead of answering.
func (e *Envelope) endedEarly() error {
	return fmt.Errorf("the weavelet ended before its handshake (%v): is the binary an application?",
		e.cmd.ProcessState)
}

// lastLines returns the last of what a process has printed, to explain its end.
func (e *Envelope) lastLines() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var text strings.Builder
	for _, level := range []string{"stdout", "stderr"} {
		var lines []string
		for _, entry := range e.lines {
			if entry.Level == level {
				lines = append(lines, "\n\t"+entry.Msg)
			}
		}
		text.WriteString(strings.Join(lines[max(0, len(lines)-10):], ""))
	}
	if text.Len() == 0 {
		return nil
	}
	return fmt.Errorf("it printed:%s", text.String())
}

// collect makes log entries of what a process prints.
func (e *Envelope) collect(r io.Reader, level string, info *protos.EnvelopeInfo) {
	scanner := bufio.NewReaderSize(r, 64<<10)
	for {
		line, _, err := scanner.ReadLine()
		if err != nil {
			return
		}
		entry := &protos.LogEntry{
			App: info.App, Version: info.DeploymentId, Node: info.Id,
			TimeMicros: time.Now().UnixMicro(), Level: level, Msg: string(line),
		}

		e.mu.Lock()
		e.heard++
		if len(e.lines) == maxLines {
			e.lines, e.lost = e.lines[1:], e.lost+1
		}
		e.lines = append(e.lines, entry)
		e.mu.Unlock()

		select {
		case e.logged <- struct{}{}:
		default:
		}
	}
}

// hear waits until everything that the process printed before its end is read. Others may hold its
// pipes open, so it also returns when nothing more has come for a while, and after endTime.
func (e *Envelope) hear() {
	tick := time.NewTicker(lastWords)
	defer tick.Stop()
	before := -1
	for range max(2, e.endTime/lastWords) {
		select {
		case <-e.printed:
			return
		case <-tick.C:
		}
		e.mu.Lock()
		heard := e.heard
		e.mu.Unlock()
		if heard == before {
			return
		}
		before = heard
	}
}

// maxLines bounds the printed lines that wait for Serve.
const maxLines = 10_000

// Serve answers the weavelet with h until the weavelet has ended, and returns why. A weavelet that
// ended with success is no error. If somebody else holds the process, it returns when the conversation
// is over.
func (e *Envelope) Serve(h EnvelopeHandler) error {
	d := &dispatcher{handler: h}
	over := make(chan error, 1)
	go func() { over <- e.conversation.Serve(e.ctx, d.handle) }()
	for {
		select {
		case <-e.logged:
			e.handleLines(d)
		case err := <-over:
			// A weavelet that said something that nobody understands still runs. It ends when it
			// reads the end of the conversation, or is killed.
			e.conversation.Close()
			if e.cmd == nil {
				e.handleLines(d)
				return err
			}
			close(e.ended)
			kill := time.AfterFunc(e.endTime, func() { e.cmd.Process.Kill() })
			<-e.exited
			kill.Stop()
			<-e.printed
			e.handleLines(d)
			return e.exit
		}
	}
}

func (e *Envelope) handleLines(d *dispatcher) {
	e.mu.Lock()
	lines, lost := e.lines, e.lost
	e.lines, e.lost = nil, 0
	e.mu.Unlock()

	if lost > 0 {
		first := *lines[0]
		first.Level = slog.LevelWarn.String()
		first.Msg = logline.Dropped(int64(lost), "lines")
		lines = slices.Insert(lines, 0, &first)
	}
	for _, entry := range lines {
		_ = d.logEntry(e.ctx, entry) // an error cannot be told to anybody
	}
}

// Close ends the conversation. The weavelet ends when it notices, or dials again if it has dialled.
func (e *Envelope) Close() error { return e.conversation.Close() }

// WeaveletInfo returns the weavelet's half of the handshake.
func (e *Envelope) WeaveletInfo() *protos.WeaveletInfo { return e.info }

// Pid returns the id of the weavelet's process, 0 if it is not known.
func (e *Envelope) Pid() int {
	switch {
	case e.cmd != nil:
		return e.cmd.Process.Pid
	case e.pid != 0:
		return e.pid
	}
	return int(e.info.Pid)
}
