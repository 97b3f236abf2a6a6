"""What people of the office see of orders: lists, counts, one order's page, live changes.

Only reading: what a person does is a command to the order master. Everything a list shows is
stored when the order changes; nothing is computed over many orders when a list is asked for.
"""
