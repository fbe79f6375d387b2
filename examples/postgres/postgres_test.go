//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/system/systemtest"
)

func TestMain(m *testing.M) { systemtest.Main(m, main) }

// TestVisits kills Postgres and the service, and replaces both while somebody visits the page.
func TestVisits(t *testing.T) {
	if _, err := programs(); err != nil {
		t.Skip(err)
	}
	dir := systemtest.Home(t)
	if err := os.Chmod(dir, 0o711); err != nil { // for the user postgres
		t.Fatal(err)
	}
	s := &site{data: filepath.Join(dir, "postgres")}
	s.deploy(t, "-edition", "1")
	t.Cleanup(func() { s.end(t) })

	for _, pid := range []int{s.visit(t, "1"), s.postgres(t)} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.visit(t, "1")
	}

	done, left := make(chan bool), make(chan bool)
	go func() {
		defer close(left)
		for {
			select {
			case <-done:
				return
			default:
				s.visit(t, "[12]")
			}
		}
	}()
	before := s.postgres(t)
	s.deploy(t, "-edition", "2")
	s.deploy(t, "-edition", "2", "-setting", "max_connections=50")
	close(done)
	<-left
	s.visit(t, "2")
	if now := s.postgres(t); now == before {
		t.Errorf("Postgres is still process %d", now)
	}
}

// site is where the system runs.
type site struct {
	data string
	url  string // of the page
	run  *exec.Cmd
}

// deploy runs the program, and returns when the page is there. The run before ends then.
func (s *site) deploy(t *testing.T, args ...string) {
	t.Helper()
	run := exec.Command(os.Args[0], append([]string{"-listen", "127.0.0.1:0", "-data", s.data}, args...)...)
	run.Stderr = t.Output()
	stdout, err := run.StdoutPipe()
	if err == nil {
		err = run.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the page is not there: %v", err)
	}

	before := s.run
	s.run = run
	if url := strings.TrimSpace(strings.TrimPrefix(line, "The page is at ")); s.url == "" {
		s.url = url
	} else if s.url != url {
		t.Errorf("the page was at %s, and is at %s", s.url, url)
	}
	if before != nil {
		_ = before.Wait() // it says that this one has taken its place
	}
}

// end stops everything, if the run is still there.
func (s *site) end(t *testing.T) {
	err := s.run.Process.Signal(os.Interrupt)
	if err == nil {
		err = s.run.Wait()
	}
	if err != nil {
		t.Error(err)
	}
}

// visit visits the page of an edition, and returns the process that has it.
func (s *site) visit(t *testing.T, edition string) (pid int) {
	t.Helper()
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(s.url)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	found := regexp.MustCompile("^visit [0-9]+, edition " + edition + ", process ([0-9]+)\n$").FindSubmatch(text)
	if found == nil {
		t.Errorf("the page says %q, and it should be edition %s: %v", text, edition, err)
		return 0
	}
	pid, err = strconv.Atoi(string(found[1]))
	if err != nil {
		t.Error(err)
	}
	return pid
}

// postgres returns the process of Postgres.
func (s *site) postgres(t *testing.T) (pid int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.data, "data", "postmaster.pid"))
	if err == nil {
		_, err = fmt.Sscan(string(text), &pid)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
