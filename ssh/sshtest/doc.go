// Package sshtest has SSH servers for tests: the sshd of this machine, for a user in namespaces of its own, whose home folder
// is in memory.
package sshtest
