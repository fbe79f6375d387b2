package artifact

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// smallDisk returns a folder with a file system of 1 MB. The test begins again for that, in namespaces of its own;
// where that has happened, it returns "".
func smallDisk(t *testing.T) string {
	t.Helper()
	const inside = "ARTIFACT_TEST_DISK"
	if dir := os.Getenv(inside); dir != "" {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
			t.Fatal(err)
		}
		return dir
	}

	again := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), inside+"="+t.TempDir(), "GORACE=atexit_sleep_ms=10")
	again.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := again.CombinedOutput()
	if again.Process == nil && os.Getenv("CI") != "true" {
		t.Skipf("no namespaces: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return ""
}
