package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// Machine is a host as package system opens it.
type Machine struct{ *Host }

// Machine returns the host as package system opens it:
//
//	h, err := system.Open(ctx, n, l.Host("host1").Machine())
func (h *Host) Machine() Machine { return Machine{h} }

// maxWords is how much is told of what a command has said that has failed, in bytes.
const maxWords = 4 << 10

// Run runs a command on the host, and returns when it has ended, and with it everything that writes where it does: with an
// error if it has not exited with 0.
func (m Machine) Run(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	var p pipes
	words := &bytes.Buffer{}
	c := Command{Args: args}
	var err error
	for _, make := range []func(){
		func() { c.Stdin, err = p.from(in) }, func() { c.Stdout, err = p.to(out) }, func() { c.Stderr, err = p.to(words) },
	} {
		if err == nil {
			make()
		}
	}
	exit := 0
	if err == nil {
		exit, err = m.Host.Run(ctx, c)
	}

	p.close()
	if err == nil && exit != 0 {
		err = fmt.Errorf("exit code %d: %s", exit, strings.TrimSpace(words.String()[:min(maxWords, words.Len())]))
	}
	return err
}

// pipes are between this process and a command.
type pipes struct {
	theirs []*os.File
	told   sync.WaitGroup // for what the command has written
}

// from returns the input of a command that comes from a reader.
func (p *pipes) from(in io.Reader) (*os.File, error) {
	if file, ok := in.(*os.File); ok {
		return file, nil
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.add(read)
	go func() {
		_, _ = io.Copy(write, in) // the command may not read it
		write.Close()
	}()
	return read, nil
}

// to returns the output of a command that goes to a writer.
func (p *pipes) to(out io.Writer) (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.add(write)
	p.told.Go(func() {
		_, _ = io.Copy(out, read) // as far as it is wanted
		read.Close()
	})
	return write, nil
}

// add takes note of an end that is the command's. That is to wait for it, as is usual, and not to hear that there is nothing.
func (p *pipes) add(f *os.File) {
	f.Fd() // has reading and writing wait
	p.theirs = append(p.theirs, f)
}

// close closes the ends of the command, and returns when all that it has written was handed on.
func (p *pipes) close() {
	for _, f := range p.theirs {
		f.Close()
	}
	p.told.Wait()
}
