package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/divisi-go/divisi/bench/echo"
)

// payload is what goes both ways in a call.
type payload string

const (
	null    payload = "nothing"
	message payload = "message" // a struct of twenty fields, about 1 KB
	large   payload = "64 KB"
	huge    payload = "1 MB"
)

// size is how many bytes a payload takes, about.
func (p payload) size() int {
	switch p {
	case message:
		return echo.MessageSize
	case large:
		return 64 << 10
	case huge:
		return 1 << 20
	}
	return 0
}

// caller makes one call with a payload and gets the same back. It is used by one goroutine.
type caller func(context.Context, payload) error

// system is one way of making calls.
type system struct {
	name string
	note string // what it is, for the table

	// serve answers calls at a Unix socket. It says when it can be called.
	serve func(socket string, ready func()) error
	// connect returns what makes callers that call the socket.
	connect func(socket string) (func() (caller, error), error)
	// deploy starts both processes, if serve and connect do not do it.
	deploy func(ctx context.Context, dir string, env func(side string) string) error
	// stalls reports that the system does not get through a case; nil if it gets through all.
	stalls func(measurement) bool
}

var systems = []system{
	{name: "raw", note: "a socket for each caller, lengths and bytes, buffers used again", serve: serveRaw, connect: connectRaw},
	{name: "gRPC", note: "one connection, no interceptors", serve: serveGRPC, connect: connectGRPC, stalls: stallsGRPC},
	{name: "Divisi", note: "one connection, the whole product with its metrics and traces", deploy: deployDivisi},
}

func findSystem(name string) (system, error) {
	i := slices.IndexFunc(systems, func(s system) bool { return s.name == name })
	if i < 0 {
		return system{}, fmt.Errorf("there is no system %q; there are raw, gRPC and Divisi", name)
	}
	return systems[i], nil
}

// measurement is a case: what is called by how many.
type measurement struct {
	payload  payload
	callers  int
	oneCPU   bool          // both processes share one processor
	deadline time.Duration // of each call; 0 is none
}

func (m measurement) String() string {
	text := fmt.Sprintf("%s x %d", m.payload, m.callers)
	if m.oneCPU {
		text += ", one CPU"
	}
	if m.deadline > 0 {
		text += ", deadline"
	}
	return text
}

var measurements = []measurement{
	{payload: null, callers: 1, oneCPU: true},
	{payload: null, callers: 1},
	{payload: null, callers: 16},
	{payload: null, callers: 16, deadline: time.Second},
	{payload: null, callers: 256},
	{payload: null, callers: 2000},
	{payload: message, callers: 1, oneCPU: true},
	{payload: message, callers: 16},
	{payload: message, callers: 256},
	{payload: message, callers: 2000},
	{payload: large, callers: 1, oneCPU: true},
	{payload: large, callers: 16},
	{payload: huge, callers: 1},
	{payload: huge, callers: 4},
}
