// Package lab puts several hosts on one machine, for tests and for curious users: each is its own network, processes
// and files, and the links between them can be cut, slow and lossy. Root is not needed; Linux is.
//
// A test that uses it calls [Enter] first in its TestMain, because the processes of a lab are the test's own program:
//
//	func TestMain(m *testing.M) {
//		lab.Enter()
//		os.Exit(m.Run())
//	}
//
//	func TestPartition(t *testing.T) {
//		l := lab.New(t, lab.Config{Hosts: 3})
//		_, err := l.Host("host2").Exec(t.Context(), "uname", "-n")
//		err = l.Change(t.Context(), "host1", "host2", fabric.Cut())
//	}
//
// A host sees the machine's files read-only. Its own, and empty at first, are /tmp, /run, /var/tmp, /dev/shm and the home
// folder; they are gone after a power cut ([Host.Kill]). Hosts know each other by name.
package lab
