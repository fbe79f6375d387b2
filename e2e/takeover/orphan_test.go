//go:build linux

package takeover

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestOrphans: while no deployer is there, a replica that is killed is started again, and takes calls, and so
// one can be killed after the other. The next deployer takes over those that run then.
//
// With DIVISI_SOAK in the environment each replica that is called is killed ten times.
func TestOrphans(t *testing.T) {
	times := 1
	if soak() {
		times = 10
	}
	s := subject(t)
	r := s.run()
	url := r.ready().Listeners[0].URL
	pids := s.exactly()
	visits := visit(t, url)
	visits.sees(s, 50)
	r.kill()

	for range times {
		for _, name := range []string{"worker-0@/subject", "worker-1@/subject", "single-0@/subject"} {
			before := pids[name]
			s.killProcess(before)
			s.until(name+" runs again", func() bool {
				pids = s.held()
				return pids[name] != 0 && pids[name] != before
			})
			if strings.HasPrefix(name, "worker") {
				again := fmt.Sprintf("process %d\n", pids[name])
				s.until(name+" takes calls again", func() bool { return strings.HasSuffix(s.page(url), again) })
			}
		}
	}
	visits.sees(s, 50)

	r = s.run()
	r.ready()
	if after := s.exactly(); !maps.Equal(after, pids) {
		t.Errorf("the next deployer has other processes:\n%v\n%v\n%s", pids, after, s.situation())
	}
	s.restarted(times)

	// One more, whose restart is the deployer's, and one by the keeper: the next one knows of all.
	worker, single := pids["worker-0@/subject"], pids["single-0@/subject"]
	s.killProcess(worker)
	s.until("the deployer has restarted it", func() bool { return !slices.Contains(pidsOf(s.held()), worker) })
	s.exactly()
	r.kill()
	s.killProcess(single)
	s.until("the keeper has restarted it", func() bool { return !slices.Contains(pidsOf(s.held()), single) })
	r = s.run()
	r.ready()
	s.exactly()
	s.restarted(times, "worker-0@/subject", "single-0@/subject")
	if failed := visits.leave(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed:\n%s", len(failed), visits.sent.Load(), strings.Join(failed, "\n"))
	}
}

// restarted checks how often each of those that were killed is said to have been restarted: some once more.
func (s *site) restarted(times int, more ...string) {
	s.t.Helper()
	status, err := s.status()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range status.Replicas {
		want := times
		if r.Group == "main" {
			want = 0
		}
		if slices.Contains(more, r.Name) {
			want++
		}
		if r.Restarts != want {
			s.t.Errorf("%s was restarted %d times, want %d\n%s", r.Name, r.Restarts, want, s.situation())
		}
	}
}

func pidsOf(processes map[string]int) []int { return slices.Collect(maps.Values(processes)) }

func (s *site) killProcess(pid int) {
	s.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
}

// TestFrozen: replicas stand still while a deployer takes over, and cannot say who they are. They are replaced
// once they have gone, and what they were doing is done by others.
func TestFrozen(t *testing.T) {
	s := subject(t)
	s.write(strings.Replace(subjectFile, "[divisi]\n", "[divisi]\nstart = \"5s\"\n", 1))
	r := s.run()
	url := r.ready().Listeners[0].URL
	pids := s.exactly()
	visits := visit(t, url)
	visits.sees(s, 50)
	r.kill()
	frozen := []string{"worker-0@/subject", "single-0@/subject"}
	for _, name := range frozen {
		if err := syscall.Kill(pids[name], syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}

	s.run().ready()
	after := s.exactly()
	for name, pid := range pids {
		if replaced := after[name] != pid; replaced != slices.Contains(frozen, name) {
			t.Errorf("%s was process %d, and is %d\n%s", name, pid, after[name], s.situation())
		}
	}
	visits.sees(s, 50)
	if failed := visits.leave(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed:\n%s", len(failed), visits.sent.Load(), strings.Join(failed, "\n"))
	}
}

// TestDamagedRecord: what a version is, is not known any more. If it is the version that is wanted, nothing
// changes; what runs of another one is ended, which is said.
func TestDamagedRecord(t *testing.T) {
	s := subject(t)
	r := s.run()
	r.ready()
	pids := s.exactly()

	damage := func() {
		r.kill()
		records, err := filepath.Glob(filepath.Join(s.domain.Versions, "*.json"))
		if err != nil || len(records) != 1 {
			t.Fatalf("records: %v %v", records, err)
		}
		if err := os.WriteFile(records[0], []byte(`{"binary":`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	damage()
	r = s.run()
	r.ready()
	if after := s.exactly(); !maps.Equal(after, pids) {
		t.Errorf("the version that is wanted does not go on:\n%v\n%v\n%s", pids, after, s.situation())
	}

	damage()
	file.make(s)
	r = s.run()
	r.ready()
	for name, pid := range s.exactly() {
		if pids[name] == pid {
			t.Errorf("%s goes on, and nobody knows what it is", name)
		}
	}
	if printed := r.printed.String(); !strings.Contains(printed, "is ended, since it cannot be taken over: ") ||
		!strings.Contains(printed, s.domain.Versions) {
		t.Errorf("it is not said why:\n%s", printed)
	}
}

// TestMissingProgram: somebody has emptied the store of programs.
func TestMissingProgram(t *testing.T) {
	s := subject(t)
	r := s.run()
	r.ready()
	pids := s.exactly()
	r.kill()
	if err := os.RemoveAll(s.home.CAS()); err != nil {
		t.Fatal(err)
	}

	s.killProcess(pids["worker-0@/subject"])
	s.until("a replica that is to start without its program waits", func() bool {
		pid, ok := s.held()["worker-0@/subject"]
		return ok && pid == 0
	})
	r = s.run()
	r.ready()
	after := s.exactly()
	if delete(pids, "worker-0@/subject"); !contains(after, pids) {
		t.Errorf("other processes run:\n%v\n%v\n%s", pids, after, s.situation())
	}
}

// contains reports whether all of a part are in a map.
func contains(all, part map[string]int) bool {
	for name, pid := range part {
		if all[name] != pid {
			return false
		}
	}
	return true
}

// TestDamagedBoot: what a replica is to start from without a deployer is damaged, or gone. It says so, and
// waits for one.
func TestDamagedBoot(t *testing.T) {
	s := subject(t)
	r := s.run()
	r.ready()
	pids := s.exactly()
	r.kill()
	records, err := filepath.Glob(filepath.Join(s.domain.Boot, "*.boot"))
	if err != nil || len(records) != 5 {
		t.Fatalf("boot records: %v %v", records, err)
	}
	for i, record := range records {
		err := os.Remove(record)
		if i%2 == 0 {
			err = os.WriteFile(record, []byte("garbage that is no frame"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	killed := []string{"worker-0@/subject", "worker-1@/subject"}
	again := map[string]int{}
	for _, name := range killed {
		s.killProcess(pids[name])
		s.until(name+" is started again", func() bool {
			again[name] = s.held()[name]
			return again[name] != 0 && again[name] != pids[name]
		})
		s.until(name+" says what is wrong", func() bool {
			text, _ := os.ReadFile(filepath.Join(s.domain.Logs, strings.TrimSuffix(name, "@/subject")+".log"))
			return strings.Contains(string(text), "boot record") && strings.Contains(string(text), s.domain.Boot)
		})
	}

	s.run().ready()
	if after := s.exactly(); !contains(after, again) {
		t.Errorf("what waited for a deployer has not gone on:\n%v\n%v\n%s", again, after, s.situation())
	}
}

// TestUnwritable: a deployer that cannot record what it starts changes nothing, and says what it cannot write.
func TestUnwritable(t *testing.T) {
	s := subject(t)
	r := s.run()
	r.ready()
	pids := s.exactly()
	r.kill()
	// Also the superuser cannot write there.
	away := s.domain.Versions + "-away"
	if err := os.Rename(s.domain.Versions, away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.domain.Versions, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, c := range []change{same, file} {
		c.make(s)
		r = s.run()
		if printed := r.end(); r.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(printed, s.domain.Versions) {
			t.Errorf("a run that cannot write ends with %v:\n%s", r.cmd.ProcessState, printed)
		}
		if after := s.held(); !maps.Equal(after, pids) {
			t.Errorf("other processes run:\n%v\n%v", pids, after)
		}
	}

	if err := os.Remove(s.domain.Versions); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, s.domain.Versions); err != nil {
		t.Fatal(err)
	}
	s.write(subjectFile)
	s.run().ready()
	if after := s.exactly(); !maps.Equal(after, pids) {
		t.Errorf("other processes run:\n%v\n%v", pids, after)
	}
}

// TestFinished: the program returns while no deployer is there. Nobody starts it again, and the next deployer
// learns that all is done.
func TestFinished(t *testing.T) {
	s := subject(t)
	r := s.run()
	url := r.ready().Listeners[0].URL
	pids := s.exactly()
	r.kill()
	s.until("both replicas of main are asked to finish", func() bool {
		<-s.hold(url, "/finish").done
		finishing := s.noted("finishing")
		slices.Sort(finishing)
		return len(slices.Compact(finishing)) == 2
	})
	const worker = "worker-0@/subject"
	for range 3 { // each takes a second, in which who has returned could have been started again
		before := pids[worker]
		s.killProcess(before)
		s.until(worker+" runs again", func() bool {
			pids = s.held()
			return pids[worker] != before && slices.Contains(s.noted("workers"), strconv.Itoa(pids[worker]))
		})
	}

	r = s.run()
	printed := r.end()
	if r.cmd.ProcessState.ExitCode() != 0 || len(s.alive()) > 0 {
		t.Errorf("a run of what has finished: %v, and %v are left\n%s", r.cmd.ProcessState, s.alive(), printed)
	}
	if mains := s.noted("mains"); len(mains) != 2 {
		t.Errorf("the program has run in the processes %v:\n%s", mains, s.history())
	}
}
