// Package profile saves what the processes of a benchmark do, for those who want to know why.
package profile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
)

// variable of the environment has the folder for profiles; there are none without it.
const variable = "DIVISI_BENCH_PROFILE"

// SaveTo has all processes that this one starts save profiles in a folder, unless it is "".
func SaveTo(dir string) error {
	if dir == "" {
		return nil
	}
	dir, err := filepath.Abs(dir)
	return errors.Join(err, os.MkdirAll(dir, 0o755), os.Setenv(variable, dir))
}

// save ends the profile of this process, once.
var save = func() error { return nil }

// Begin begins a profile of this process, if one is wanted: ROLE-PID.cpu, and ROLE-PID.heap for what it holds
// in memory at the end.
func Begin(role string) error {
	dir := os.Getenv(variable)
	if dir == "" {
		return nil
	}
	name := filepath.Join(dir, fmt.Sprintf("%s-%d", strings.ReplaceAll(role, "/", "-"), os.Getpid()))
	cpu, err := os.Create(name + ".cpu")
	if err != nil {
		return err
	}
	save = sync.OnceValue(func() error {
		pprof.StopCPUProfile()
		heap, err := os.Create(name + ".heap")
		if err != nil {
			return errors.Join(err, cpu.Close())
		}
		for range 3 { // what pools keep is garbage at the second
			runtime.GC()
		}
		return errors.Join(pprof.WriteHeapProfile(heap), heap.Close(), cpu.Close())
	})
	return pprof.StartCPUProfile(cpu)
}

// End saves the profile of this process, if there is one. It is called before the process exits.
func End() error { return save() }
