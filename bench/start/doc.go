// Package start measures what it costs to start a process, by a keeper and without one.
package start
