package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// programs is the folder of the program of Service Weaver, which is built of a module of its own: what it
// requires would change what others get.
var programs string

func weaverProgram() string { return filepath.Join(programs, "serviceweaver") }

// serviceWeaver is Service Weaver. Its program has a part for the deployer, which starts the other two.
type serviceWeaver struct{}

var _ rival = serviceWeaver{}

func (serviceWeaver) start(ctx context.Context, name string, e endpoint) error {
	return spawn(ctx, weaverProgram(), e.environment(name+"/deployer"))
}

func (serviceWeaver) play(string, string, endpoint) error {
	return errors.New("the program of Service Weaver is another one")
}

func (serviceWeaver) lacks(m measurement) string {
	if m.network == "unix" {
		return "it has no Unix sockets"
	}
	if _, err := os.Stat(weaverProgram()); programs == "" || err != nil {
		return "its program was not given"
	}
	return ""
}
