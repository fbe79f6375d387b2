package work

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
)

// Variables of the environment tell a process what it is.
const (
	roleVariable    = "DIVISI_BENCH_ROLE"         // system and side, such as "gRPC/client"
	controlVariable = "DIVISI_BENCH_CONTROL"      // the socket at which a client gets its orders
	settingVariable = "DIVISI_BENCH_LOAD_SETTING" // the setting, in JSON; set in these processes only
)

// Role returns the system and the side of this process, "" if it has none.
func Role() (system, side string) {
	system, side, _ = strings.Cut(os.Getenv(roleVariable), "/")
	return system, side
}

// Setting is the processes of a case: a client, and servers.
type Setting struct {
	Servers int
	Slow    bool // the first one is
	Single  bool // servers have one processor each
}

// Env returns the variables of a process; sides are "client" and "0", "1", ..., and "deployer" for one that
// starts the others. The folder has the sockets.
func (s Setting) Env(system, side, dir string) []string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // for numbers and flags
	}
	env := []string{
		roleVariable + "=" + system + "/" + side,
		controlVariable + "=" + Control(dir),
		settingVariable + "=" + string(text),
	}
	if _, err := strconv.Atoi(side); err == nil && s.Single {
		env = append(env, "GOMAXPROCS=1")
	}
	return env
}

// Here returns the setting of this process and the folder of the sockets. It is not ok in a process of
// something else.
func Here() (s Setting, dir string, ok bool) {
	err := json.Unmarshal([]byte(os.Getenv(settingVariable)), &s)
	return s, filepath.Dir(os.Getenv(controlVariable)), err == nil
}

// slow: this process is to be.
var slow = func() bool {
	s, _, _ := Here()
	_, side := Role()
	return s.Slow && side == "0"
}()

// Control is the socket of orders in a folder.
func Control(dir string) string { return filepath.Join(dir, "control") }

// Life is a socket in a folder that is there as long as the processes are to be.
func Life(dir string) string { return filepath.Join(dir, "life") }

// EndTogether ends this process when the benchmark does, however that ends. A process that gets a byte before
// says what its goroutines do, and ends.
func EndTogether() {
	conn, err := net.Dial("unix", Life(filepath.Dir(os.Getenv(controlVariable))))
	if err != nil {
		Exit(err)
	}
	if n, _ := conn.Read(make([]byte, 1)); n == 0 {
		Exit(nil)
	}

	system, side := Role()
	fmt.Fprintf(conn, "%s, %s, process %d\n\n", system, side, os.Getpid())
	Exit(pprof.Lookup("goroutine").WriteTo(conn, 2)) // as a panic would
}

// Caller gives a task to a server.
type Caller func(context.Context, Task) ([]byte, error)

// Obey makes calls as it is told to until nothing more comes.
func Obey(call Caller) error {
	conn, err := net.Dial("unix", os.Getenv(controlVariable))
	if err != nil {
		return fmt.Errorf("no orders: %w", err)
	}
	go EndTogether() // also if a call never ends
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var o Order
		if err := in.Decode(&o); err != nil {
			return nil // the end
		}
		if err := out.Encode(o.run(call)); err != nil {
			return err
		}
	}
}
