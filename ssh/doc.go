// Package ssh has machines that are reached by SSH, as hosts for package system. They need an SSH server such as that of
// OpenSSH, and a user; the program brings the rest:
//
//	m, err := ssh.Open(ctx, "anne@eu.example.com", ssh.Options{})
//	if err != nil {
//		return err
//	}
//	eu, err := system.Open(ctx, n, m)
//
// Without options it does what the command ssh does without a configuration file: it takes the keys of the agent and those in
// ~/.ssh, and refuses a machine whose host key is not in known_hosts. It never asks for a password, and has none. It reads no
// ssh_config.
//
// All that a program does on a machine goes through one connection, which is made again when it has ended.
package ssh
