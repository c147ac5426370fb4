"""The programs that are measured from outside, one file for each framework, one class or function for each job."""
