package process

import "os"

// heapBase is counted by the collector as part of the heap. Nobody touches it, so it takes no memory, but
// the collector runs only when as much again, and as much as is in use, has been allocated. A process with
// a heap of some MB would else collect with every few dozen long messages, at the cost of all the rest.
var heapBase []byte

const heapBaseSize = 16 << 20

// raiseHeap makes the collector run less often, unless the user has said how often it is to run.
func raiseHeap() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		heapBase = make([]byte, heapBaseSize)
	}
}
