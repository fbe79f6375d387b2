// Package family is all the processes of a server: the one that was started, and whatever it has
// started, also in other groups and sessions. It finds them and ends them.
//
// Processes are told from others by what they cannot help having, and any of these is enough:
//
//   - They are in the control group of the server, where there is one. Nothing leaves it.
//   - They have the mark of the server in their environment, which children inherit.
//   - Their parent, or the leader of their group or session, is one of the family.
//
// What nobody can know, without a control group: whose a process is that was started with an empty
// environment in a session of its own, and whose parent had ended before anybody looked.
package family

import "sync"

// Variable is the environment variable that has the mark.
const Variable = "DIVISI_RUN"

// Family says by what the processes of a server are known. What was found once is remembered: it is of
// the family although what told so has gone, as its parent. It is safe for concurrent use.
type Family struct {
	Pid   int    // of the process that was started
	Ticks uint64 // when that was, for its number may become another's; 0 while nobody has waited for it
	Mark  string // that no other server of the machine has; "" for none
	Group *Group // nil for none

	mu   sync.Mutex
	seen map[int]uint64 // by number, with the time of their start, by which a number is known to be still theirs
}
