package weavelet

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
)

// profiling is locked while a CPU profile is taken: a process can take one at a time.
type profiling struct{ sync.Mutex }

// profile takes a profile of this process in pprof's format.
func (p *profiling) profile(ctx context.Context, r *protos.GetProfileRequest) ([]byte, error) {
	var out bytes.Buffer
	switch r.ProfileType {
	case protos.ProfileType_Heap:
		return takeHeapProfile()
	case protos.ProfileType_CPU:
		if r.CpuDurationNs <= 0 {
			return nil, fmt.Errorf("a CPU profile of %d ns: give a positive duration", r.CpuDurationNs)
		}
		p.Lock()
		defer p.Unlock()
		if err := pprof.StartCPUProfile(&out); err != nil {
			return nil, fmt.Errorf("cannot take a CPU profile: %w", err)
		}
		select {
		case <-time.After(time.Duration(r.CpuDurationNs)):
		case <-ctx.Done():
		}
		pprof.StopCPUProfile()
	default:
		return nil, fmt.Errorf("unknown type of profile %d", r.ProfileType)
	}
	return out.Bytes(), nil
}
