package lab

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/lab"
	"github.com/divisi-go/divisi/lab/disk"
)

// usualPath is where a disk is if nobody says where.
const usualPath = "/data"

func (c command) disk() *cobra.Command {
	var size string
	cmd := &cobra.Command{
		Use:   "disk HOST [PATH] [slow TIME | fail write|fsync|read|all [after BYTES] | full | forget | normal]",
		Short: "Give a host a disk, and have it be slow, failing, full or forgetful",
		Long: "Give a host a disk of a size, mounted at a path, /data by default. It is in memory.\n\n" +
			"With a word after it, the disk has faults; if the host has it already, they are what changes:\n\n" +
			"  slow TIME      each read, write and fsync takes longer by a time; 0s makes the disk fast\n" +
			"  fail WHAT      writes, fsyncs, reads or all of these fail; with 'after BYTES' once so many bytes have passed\n" +
			"  full           nothing that needs space has any\n" +
			"  forget         a power cut takes what was not synced: bytes by their file, names by their folder\n" +
			"  normal         all of that ends\n\n" +
			"Faults add up until normal. A power cut leaves disks without these words as they are.",
		Example: "  divisi lab disk host1 /data --size 16M\n  divisi lab disk host1 slow 20ms\n" +
			"  divisi lab disk host1 fail fsync after 1M\n  divisi lab disk host1 /logs forget",
		Args: cobra.RangeArgs(1, 6),
		RunE: c.on(func(ctx context.Context, l *lab.Lab, args []string) error {
			host, path, rest := l.Host(args[0]), usualPath, args[1:]
			if len(rest) > 0 && strings.HasPrefix(rest[0], "/") {
				path, rest = rest[0], rest[1:]
			}
			bytes, err := sizeOf(size)
			if err != nil {
				return err
			}
			if len(rest) == 0 {
				return host.Disk(ctx, path, bytes)
			}
			change, err := fault(rest)
			if err != nil {
				return console.UsageError("%w", err)
			}
			return host.FaultyDisk(ctx, path, bytes, change)
		}),
	}
	cmd.Flags().StringVar(&size, "size", "", "size in bytes, or with K, M or G (default 64M)")
	return cmd
}

// fault reads how a disk is to be from the words of a command.
func fault(words []string) (disk.Change, error) {
	var change disk.Change
	count := 1
	switch words[0] {
	case "normal":
		change = disk.Normal()
	case "full":
		change = disk.Full()
	case "forget":
		change = disk.Forget()
	case "slow":
		if len(words) < 2 {
			return change, fmt.Errorf("by how much is the disk to be slow? Give a time, such as slow 20ms")
		}
		by, err := time.ParseDuration(words[1])
		if err != nil {
			return change, fmt.Errorf("slow %q is no time: give one such as 20ms", words[1])
		}
		change, count = disk.Slow(by), 2
	case "fail":
		if len(words) < 2 {
			return change, fmt.Errorf("what is to fail? Give write, fsync, read or all")
		}
		after := int64(0)
		count = 2
		if len(words) == 4 && words[2] == "after" {
			var err error
			after, err = bytesOf(words[3])
			if err != nil {
				return change, err
			}
			count = 4
		}
		change = disk.Fail(disk.Operation(words[1]), after)
	default:
		return change, fmt.Errorf("no disk can be %q: give slow, fail, full, forget or normal", words[0])
	}
	if len(words) > count {
		return change, fmt.Errorf("%q is too much after %q", words[count], strings.Join(words[:count], " "))
	}
	return change, change.Check()
}

// sizeOf reads the size of a disk; 0 means that none is given.
func sizeOf(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	size, err := bytesOf(text)
	if err != nil {
		return 0, console.UsageError("--size: %w", err)
	}
	return size, nil
}

// bytesOf reads a number of bytes.
func bytesOf(text string) (int64, error) {
	number, unit := strings.TrimRight(text, "KMG"), int64(1)
	switch strings.TrimPrefix(text, number) {
	case "":
	case "K":
		unit = 1 << 10
	case "M":
		unit = 1 << 20
	case "G":
		unit = 1 << 30
	default:
		number = ""
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is no number of bytes: give one such as 64M", text)
	}
	return n * unit, nil
}

// diskText is a disk in the table of hosts: its path, and how it is wrong.
func diskText(d lab.DiskStatus) string {
	if d.Condition == nil {
		return d.Path
	}
	var words []string
	if d.Condition.Slow > 0 {
		words = append(words, "slow "+d.Condition.Slow.String())
	}
	if d.Condition.Fail != disk.Nothing {
		fail := "fail " + string(d.Condition.Fail)
		if d.Condition.After > 0 {
			fail += fmt.Sprintf(" after %d", d.Condition.After)
		}
		words = append(words, fail)
	}
	if d.Condition.Full {
		words = append(words, "full")
	}
	if d.Condition.Forget {
		words = append(words, "forget")
	}
	if len(words) == 0 {
		words = append(words, "normal")
	}
	return d.Path + " (" + strings.Join(words, " ") + ")"
}
