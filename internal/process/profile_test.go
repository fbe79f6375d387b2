package process

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
)

// TestInterruptedProfile: one that is interrupted, or waits for another, ends at once, and the next
// one is taken.
func TestInterruptedProfile(t *testing.T) {
	p := newProfiler()
	long := &protos.GetProfileRequest{ProfileType: protos.ProfileType_CPU, CpuDurationNs: int64(time.Hour)}
	enough := errors.New("enough")

	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 2)
	for range cap(ended) {
		go func() {
			_, err := p.profile(ctx, long)
			ended <- err
		}()
	}
	for len(p.cpu) == 0 {
		runtime.Gosched()
	}
	cancel(enough)
	for range cap(ended) {
		if err := <-ended; !errors.Is(err, enough) {
			t.Errorf("the profile ends with %v", err)
		}
	}

	short := &protos.GetProfileRequest{ProfileType: protos.ProfileType_CPU, CpuDurationNs: 1}
	if data, err := p.profile(t.Context(), short); err != nil || len(data) == 0 {
		t.Errorf("the next profile has %d bytes, %v", len(data), err)
	}
}

func TestProfileRefused(t *testing.T) {
	p := newProfiler()
	for want, r := range map[string]*protos.GetProfileRequest{
		"give a positive duration":  {ProfileType: protos.ProfileType_CPU},
		"unknown type of profile 0": {},
	} {
		_, err := p.profile(t.Context(), r)
		wantError(t, err, nil, want)
	}
}
