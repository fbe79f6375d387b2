// Package namespace gives a process a view of the machine of its own: users, files and network. It needs no root.
package namespace
