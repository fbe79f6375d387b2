//go:build !race

package link

func tell() {}

func hear() {}
