// Package world runs several whole members of a store in one process, and harms them: messages and states are lost, late,
// repeated and changed, members are cut off, killed, replaced and damaged. Their disks are folders; their time is that of
// a bubble, so that a minute of it takes a moment. All of it is tests.
package world
