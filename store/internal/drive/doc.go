// Package drive drives raft. A [Core] decides what a member of a group does; a [Driver] does it: it has the clock,
// a goroutine that owns the core, one that writes to the disk, and one that applies what is committed.
package drive
