"""The verbs: they join boxes, machines, providers, ssh and provisioners."""
