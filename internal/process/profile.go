package process

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
)

// profiler takes profiles of this process.
type profiler struct {
	cpu chan struct{} // holds an element while a CPU profile is taken: a process can take one at a time
}

func newProfiler() *profiler { return &profiler{cpu: make(chan struct{}, 1)} }

// profile takes a profile in pprof's format. It gives up when ctx ends.
func (p *profiler) profile(ctx context.Context, r *protos.GetProfileRequest) ([]byte, error) {
	switch r.ProfileType {
	case protos.ProfileType_Heap:
		return heapProfile()
	case protos.ProfileType_CPU:
		return p.cpuProfile(ctx, time.Duration(r.CpuDurationNs))
	}
	return nil, fmt.Errorf("unknown type of profile %d", r.ProfileType)
}

func heapProfile() ([]byte, error) {
	var out bytes.Buffer
	if err := pprof.Lookup("heap").WriteTo(&out, 0); err != nil {
		return nil, fmt.Errorf("cannot take a heap profile: %w", err)
	}
	return out.Bytes(), nil
}

func (p *profiler) cpuProfile(ctx context.Context, duration time.Duration) ([]byte, error) {
	if duration <= 0 {
		return nil, fmt.Errorf("a CPU profile of %v: give a positive duration", duration)
	}

	select {
	case p.cpu <- struct{}{}:
		defer func() { <-p.cpu }()
	case <-ctx.Done():
		return nil, fmt.Errorf("another CPU profile is being taken: %w", context.Cause(ctx))
	}

	var out bytes.Buffer
	if err := pprof.StartCPUProfile(&out); err != nil {
		return nil, fmt.Errorf("cannot take a CPU profile: %w", err)
	}
	defer pprof.StopCPUProfile()

	select {
	case <-time.After(duration):
	case <-ctx.Done():
		return nil, fmt.Errorf("the CPU profile was interrupted: %w", context.Cause(ctx))
	}
	pprof.StopCPUProfile()
	return out.Bytes(), nil
}
