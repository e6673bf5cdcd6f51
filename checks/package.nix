# The package's own build runs its tests: building it is the check.
{ aistack }: aistack
