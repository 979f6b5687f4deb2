// Does with Consul's own Go client what people use it for, against the agent that CONSUL_HTTP_ADDR names: each argument
// is a task of the table below. Prints a line for each step; the first one that fails ends the program with status 1.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/consul/api"
)

type task func(client *api.Client) error

var tasks = map[string]task{
	"mesh":     mesh,
	"acl":      access,
	"operator": operator,
	"kv":       keyValue,
	"lock":     lock,
	"elect":    elect,
}

func main() {
	for _, name := range os.Args[1:] {
		run, known := tasks[name]
		if !known {
			fail(name, fmt.Errorf("there is no task of this name"))
		}
		client, err := api.NewClient(api.DefaultConfig())
		if err != nil {
			fail(name, err)
		}
		if err := run(client); err != nil {
			fail(name, err)
		}
		fmt.Printf("ok %s\n", name)
	}
}

func fail(name string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	os.Exit(1)
}

// Runs one step; names it when it fails.
func step(name string, run func() error) error {
	if err := run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Printf("step %s\n", name)
	return nil
}

// Runs steps in order until one fails.
func steps(all ...func() error) error {
	for _, one := range all {
		if err := one(); err != nil {
			return err
		}
	}
	return nil
}

func named(name string, run func() error) func() error {
	return func() error { return step(name, run) }
}

func expect(holds bool, text string, values ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(text, values...)
}

// Blocks on the health of a service until the answer fulfils the condition.
func watchHealth(client *api.Client, service string, until func([]*api.ServiceEntry) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var index uint64
	for {
		options := (&api.QueryOptions{WaitIndex: index, WaitTime: 10 * time.Second}).WithContext(ctx)
		entries, meta, err := client.Health().Service(service, "", false, options)
		if err != nil {
			return err
		}
		if until(entries) {
			return nil
		}
		if err := expect(meta.LastIndex >= index, "the index went back from %d to %d", index, meta.LastIndex); err != nil {
			return err
		}
		index = meta.LastIndex
	}
}
