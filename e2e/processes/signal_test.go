//go:build linux

package processes_test

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
)

// inFlight makes requests that are under way when it returns, and go on for so many milliseconds, until
// they call other components. The function that it returns waits for them, and fails the test for each
// that is lost.
func (d *deployment) inFlight(requests, millis int) (wait func()) {
	d.t.Helper()
	want := d.get("/chain?n=1")
	var begun, ended sync.WaitGroup
	begun.Add(requests)
	for range requests {
		ended.Go(func() {
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := client.Get(fmt.Sprintf("%s/later?n=%d", d.url, millis))
			begun.Done()
			if err != nil {
				d.t.Errorf("a request is lost: %v", err)
				return
			}
			defer resp.Body.Close()
			if text, err := io.ReadAll(resp.Body); err != nil || string(text) != want {
				d.t.Errorf("a request gets %q, %v, want one like %q", text, err, want)
			}
		})
	}
	begun.Wait()
	return ended.Wait
}

// TestSignalToAll: a signal to all processes at once, as systemd sends it, loses no request that is in
// flight, although it has yet to make calls through all groups.
func TestSignalToAll(t *testing.T) {
	t.Parallel()
	d := deploy(t, specOf(t, "testapp", apart), deployer.Options{}, nil)
	d.get("/chain?n=1")
	status := d.until("all replicas are ready", allReady)
	wait := d.inFlight(40, 1500)
	for _, r := range status.Replicas {
		if err := syscall.Kill(r.Pid, syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	d.Stop()
	wait()
	d.until("everything has ended", func(s control.Status) bool {
		for _, r := range s.Replicas {
			if r.State != "stopped" {
				return false
			}
		}
		return true
	})
}

// TestSignalToOne: a replica that somebody else ends loses no request, and is replaced.
func TestSignalToOne(t *testing.T) {
	t.Parallel()
	d := deploy(t, specOf(t, "testapp", apart), deployer.Options{}, nil)
	d.get("/chain?n=1")
	status := d.until("all replicas are ready", allReady)
	wait := d.inFlight(20, 700)
	victims := []control.ReplicaStatus{inGroup(status, "a")[0], inGroup(status, "main")[1]}
	for _, v := range victims {
		if err := syscall.Kill(v.Pid, syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	wait()
	for _, v := range victims {
		d.until(v.Name+" is replaced", func(s control.Status) bool {
			r := named(s, v.Name)
			return r.State == "ready" && r.Pid != v.Pid
		})
	}
}

func allReady(s control.Status) bool {
	for _, r := range s.Replicas {
		if r.State != "ready" {
			return false
		}
	}
	return len(s.Replicas) > 0
}
