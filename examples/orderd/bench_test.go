package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkUpAndDown runs the program until orders are taken, and has it stop all of it.
func BenchmarkUpAndDown(b *testing.B) {
	home, err := os.MkdirTemp("", "orderd") // paths of sockets are short
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(home)
	b.Setenv("DIVISI_HOME", filepath.Join(home, "state"))
	b.Setenv("XDG_RUNTIME_DIR", home)

	var up, down time.Duration
	for b.Loop() {
		data, err := os.MkdirTemp(home, "data")
		if err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		cmd := exec.Command(os.Args[0], "-listen", "127.0.0.1:0", "-data", data)
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		_, answered := bufio.NewReader(stdout).ReadString('\n')
		up += time.Since(begin)

		begin = time.Now()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			b.Error(err)
		}
		if err := cmd.Wait(); err != nil || answered != nil {
			b.Fatal(answered, err)
		}
		down += time.Since(begin)
	}
	b.ReportMetric(up.Seconds()*1000/float64(b.N), "ms/up")
	b.ReportMetric(down.Seconds()*1000/float64(b.N), "ms/down")
}
