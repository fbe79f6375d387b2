package load

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ConnectionsVariable says how many connections there are between two processes, of systems that would have one.
const ConnectionsVariable = "DIVISI_BENCH_CONNECTIONS"

// Connections returns how many connections this process is told to have.
func Connections() int {
	n, err := strconv.Atoi(os.Getenv(ConnectionsVariable))
	if err != nil {
		return 1
	}
	return n
}

// Anywhere is where a server listens: at each address of this machine if there are to be many connections,
// for a system has one to each address.
func Anywhere() string {
	if Connections() > 1 {
		return "0.0.0.0:0"
	}
	return "127.0.0.1:0"
}

// Reach returns as many addresses as there are to be connections, all of the server at an address such as
// unix:///path or tcp://host:port: names of its socket, or addresses of this machine.
func Reach(address string) ([]string, error) {
	if Connections() == 1 {
		return []string{address}, nil
	}
	var list []string
	path, isPath := strings.CutPrefix(address, "unix://")
	scheme, port := address[:strings.LastIndex(address, "/")+1], address[strings.LastIndex(address, ":"):]
	for i := range Connections() {
		other := fmt.Sprint(scheme, "127.0.0.", 1+i, port)
		if isPath {
			other = fmt.Sprint("unix://", path, i)
			if err := os.Symlink(path, fmt.Sprint(path, i)); err != nil {
				return nil, err
			}
		}
		list = append(list, other)
	}
	return list, nil
}
